//! Laws of the whole house. There is no code of its own: the laws are in `tests/`.
