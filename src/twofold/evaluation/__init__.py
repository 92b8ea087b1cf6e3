"""How good a representation is: frozen features, and what can be told from them."""
