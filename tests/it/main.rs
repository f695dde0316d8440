//! Integration tests: one binary, a module per feature.

mod support;

mod cancel;
mod err_group;
mod hedge;
