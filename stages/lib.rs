//! The kinds of stages: each reads inputs, calls imaging or learn, and writes an artifact
