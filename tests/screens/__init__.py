"""The admin as a person sees it: a house with a day behind it, its pages as pictures, and what axe says of them."""
