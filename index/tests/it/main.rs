//! The crate as its callers see it: recall, filters, errors, and real data where it lies beside the project.

mod answers;
mod errors;
mod real_data;
