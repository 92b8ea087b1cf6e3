"""What a lecture on joint embedding claims, each claim as an experiment that anyone can run.

A claim is one file in `experiments`: its sentence, how it is looked at, what would refute it, a run that measures some
arms over several seeds, and what must hold of the numbers. The verdict is computed from them, never written.
"""
