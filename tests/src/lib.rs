//! What holds across the crates of Porter. Everything is in the test targets; `README.md` maps them.
