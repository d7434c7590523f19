//! From table columns to what an algorithm computes with.
//!
//! `bins` makes bytes for trees (`rare` tells unseen categories from rare ones, `categories` makes numbers of them, `encoded`
//! keeps these between fits), `scale` and `target` make dense
//! standardised columns for linear models, `one_hot` a column a category. Each encoder is learned from
//! training rows only, keeps what it needs (category strings included) and so encodes any table with the same feature
//! names, whatever codes that table gave to its categories.

pub(crate) mod bins;
pub(crate) mod categories;
pub(crate) mod encoded;
pub(crate) mod frequent;
pub(crate) mod kept;
pub(crate) mod linear;
pub(crate) mod one_hot;
pub(crate) mod rare;
pub(crate) mod scale;
pub(crate) mod tally;
pub(crate) mod target;
