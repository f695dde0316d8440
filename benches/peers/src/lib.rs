//! The contestants, shared by the bench and by the program that counts its allocations.
pub mod contestants;
