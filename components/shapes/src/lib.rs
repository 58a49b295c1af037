//! Nothing of its own: the place of the test that looks at the built components from outside.
