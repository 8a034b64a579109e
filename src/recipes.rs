//! Recipes: what everybody meets sooner or later. There is no code here, only docs.
