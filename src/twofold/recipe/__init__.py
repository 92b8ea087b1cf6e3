"""What decides a run: settings that declare themselves, recipes, TOML. Free of torch.

settings.py   setting(), and what is done with what it declares     rules.py     how what was left open is chosen
declared.py   what a method's file declares, read, not run          recipe.py    what is wanted, the resolved recipe
foreign.py    parts named package.module:name                       toml.py      recipes as files
"""
