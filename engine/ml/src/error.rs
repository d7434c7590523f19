//! The one error type of the crate.
//!
//! Bad input, a bad parameter and a damaged model file are errors, never panics. A caller that only needs to know what
//! to do about one asks [`Error::kind`].

use crate::{ALGORITHMS, Algorithm, TargetKind};

/// What went wrong, with the values that show it.
///
/// ```
/// use tidemill_ml::{BinaryMetrics, Error};
///
/// assert_eq!(BinaryMetrics::compute(&[], &[]), Err(Error::NoRows));
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to learn from or to score.
    #[error("no rows: a model needs rows to learn from, and metrics need rows to score")]
    NoRows,
    /// Fewer training rows than a model can be made of.
    #[error("too few rows: {rows}, and at least {needed} are needed")]
    TooFewRows {
        /// Rows given.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// More rows than a model can count.
    #[error("too many rows: {rows}, and a model learns from at most {limit}; learn from a sample")]
    TooManyRows {
        /// Rows given.
        rows: usize,
        /// Rows at most.
        limit: usize,
    },
    /// All training rows carry the same label.
    #[error(
        "one class only: all {rows} training rows are labelled {label}; wait for rows of the other class"
    )]
    OneClass {
        /// The label that all rows have.
        label: bool,
        /// Training rows.
        rows: usize,
    },
    /// Fewer rows without a missing value than clusters.
    #[error(
        "too few rows for {clusters} clusters: {complete} of {rows} rows have a value in every column; wait for more rows or ask for fewer clusters"
    )]
    TooFewForClusters {
        /// Clusters asked for.
        clusters: u32,
        /// Rows without a missing value.
        complete: usize,
        /// Rows given.
        rows: usize,
    },
    /// Text columns where only numbers can be learned from.
    #[error("k-means takes numeric columns only, and these are text: {}", .columns.join(", "))]
    TextColumns {
        /// Names of the text columns.
        columns: Vec<String>,
    },
    /// The table has no column at all.
    #[error("no features: the table has neither a numeric nor a categorical column")]
    NoFeatures,
    /// A weight of a row that is not finite, or below 0.
    #[error("row {row} has the weight {value}, and a weight is a finite number from 0")]
    BadWeight {
        /// The row.
        row: u32,
        /// Its weight.
        value: f64,
    },
    /// No algorithm has this name.
    #[error("there is no algorithm `{name}`; the algorithms are {}", crate::ALGORITHMS.map(|of| of.name).join(", "))]
    NoSuchAlgorithm {
        /// The name given.
        name: String,
    },
    /// No step has this name.
    #[error("there is no step `{name}`; {}the steps are: {}", did_you_mean(near), crate::STEPS.map(|of| of.name).join(", "))]
    NoSuchStep {
        /// The name given.
        name: String,
        /// The step whose name is most like it.
        near: Option<&'static str>,
    },
    /// A step has no such key.
    #[error("step `{step}` has no key `{key}`; {}its keys are: {}", did_you_mean(near), .known.join(", "))]
    NoSuchKey {
        /// Name of the step.
        step: &'static str,
        /// The key given.
        key: String,
        /// The key that is most like it.
        near: Option<String>,
        /// All that there are.
        known: Vec<String>,
    },
    /// The value of a step's key is none that it can have.
    #[error("step `{step}`: `{key}`: {why}")]
    BadKey {
        /// Name of the step.
        step: &'static str,
        /// The key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// What stands for a step is none.
    #[error(
        "a step is a name, as \"standard\", or a table with a name, as {{ step = \"impute\", strategy = \"median\" }}: {found} is neither"
    )]
    NotAStep {
        /// What was given.
        found: String,
    },
    /// All training rows are of the same one of many classes.
    #[error("one class only: all {rows} training rows are of class {class}; wait for rows of the others")]
    OneOfManyClasses {
        /// The class that all rows have.
        class: u32,
        /// Training rows.
        rows: usize,
    },
    /// None of the training rows is of a class.
    #[error(
        "no row of class {class}: none of the {rows} training rows is of it; wait for rows of it, or leave it out of the {classes} classes"
    )]
    ClassWithoutRows {
        /// The first class without rows.
        class: u32,
        /// How many classes were said.
        classes: u32,
        /// Training rows.
        rows: usize,
    },
    /// A row of a class that is not there.
    #[error("row {row} is of class {class}, and there are {classes}, from 0")]
    NoSuchClass {
        /// The row.
        row: u32,
        /// Its class.
        class: u32,
        /// How many classes were said.
        classes: u32,
    },
    /// Rows of another number of classes than the model has learned.
    #[error("there are {found} classes, and the model tells {expected} apart")]
    OtherClasses {
        /// Classes of the model.
        expected: u32,
        /// Classes of the rows.
        found: u32,
    },
    /// A row's target is a number that cannot be learned, or be compared with.
    #[error("row {row} has the target {value}, and a target is a finite number; leave the row out")]
    BadTarget {
        /// The row.
        row: u32,
        /// Its target.
        value: f64,
    },
    /// A prediction that is not finite.
    #[error("{value} at position {position} is not a finite number")]
    NotANumber {
        /// Position in the slice.
        position: usize,
        /// The value found.
        value: f64,
    },
    /// A target of another kind than the algorithm learns, or the model has learned.
    #[error("the target is {found}, and {learner} learns {expected}{others}")]
    OtherTarget {
        /// Name of the algorithm.
        learner: &'static str,
        /// What it learns.
        expected: String,
        /// What was given.
        found: &'static str,
        /// Algorithms that learn it, as the end of a sentence; may be empty.
        others: String,
    },
    /// Rows of which each misses a value, where only complete ones can be learned from.
    #[error("there is no row without a missing value to learn from")]
    NoCompleteRows,
    /// A step of a pipeline leaves out every row.
    #[error(
        "it leaves none of the {rows} rows to learn from: each is called an outlier; name fewer columns, or set wider bounds"
    )]
    NoRowsLeft {
        /// Rows before the step.
        rows: usize,
    },
    /// A step takes columns of a kind that the table does not have.
    #[error("there is no {kind} column for it to take")]
    NoColumns {
        /// `numeric` or `text`.
        kind: &'static str,
    },
    /// A step names a column that the table does not have, or that is of another kind.
    #[error("there is no {kind} column `{column}`; the {kind} columns are: {known}")]
    UnknownColumn {
        /// `numeric` or `text`.
        kind: &'static str,
        /// The name given.
        column: String,
        /// Those that there are.
        known: String,
    },
    /// A column of text where numbers are taken, or the other way round.
    #[error("`{column}` is a {kind} column, and it takes {expected} ones")]
    ColumnOfOtherKind {
        /// The column.
        column: String,
        /// `numeric` or `text`.
        kind: &'static str,
        /// The kind that is taken.
        expected: &'static str,
    },
    /// A step makes a column of a name that another one has.
    #[error("it makes a column `{column}`, and there is one already")]
    RepeatedColumn {
        /// The name.
        column: String,
    },
    /// A step of a list cannot be read.
    #[error("step {step}: {error}")]
    UnreadableStep {
        /// Number of the step, from 1.
        step: usize,
        /// Why.
        #[source]
        error: Box<Error>,
    },
    /// A step of a pipeline is not allowed, or could not be taken.
    #[error("step {step} (`{name}`): {error}")]
    InStep {
        /// Number of the step, from 1.
        step: usize,
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        error: Box<Error>,
    },
    /// Something was asked of a model that this algorithm has not.
    #[error("{algorithm} has no {what}")]
    NotOfAlgorithm {
        /// Name of the algorithm.
        algorithm: &'static str,
        /// What was asked for.
        what: &'static str,
    },
    /// Two inputs that belong together have different lengths.
    #[error("{what}: {found} values where {expected} belong")]
    LengthMismatch {
        /// Which input.
        what: &'static str,
        /// Length expected.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// A row index beyond the table.
    #[error("row {row} is not in the table of {rows} rows")]
    RowOutOfRange {
        /// The index given.
        row: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// Training rows must be strictly ascending, so that the order of sums is the table's.
    #[error("training rows must be strictly ascending, and are not at position {position}")]
    RowsNotAscending {
        /// First position that is not above the one before it.
        position: usize,
    },
    /// A score that is no probability (not finite, or outside 0 to 1).
    #[error("{value} at position {position} is not a probability")]
    NotAProbability {
        /// Position in the slice.
        position: usize,
        /// The value found.
        value: f64,
    },
    /// A parameter outside its range.
    #[error("{name} = {value}: {expected}")]
    BadParameter {
        /// Name of the parameter, as in the job file.
        name: &'static str,
        /// The value given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The table to score has other features than the model learned.
    #[error("{group} feature {position} is {found} in the table, but the model learned {expected}")]
    FeatureMismatch {
        /// `numeric` or `categorical`.
        group: &'static str,
        /// Position in the group.
        position: usize,
        /// Name in the model, quoted, or `absent`.
        expected: String,
        /// Name in the table, quoted, or `absent`.
        found: String,
    },
    /// The columns of one append have different lengths; the table is as it was before.
    #[error("column {column} got {found} values where the others got {expected}; nothing was appended")]
    UnequalColumns {
        /// Name of the column.
        column: String,
        /// Values appended to the first column.
        expected: usize,
        /// Values appended to this one.
        found: usize,
    },
    /// A push named a column that the table does not have; the table is as it was before.
    #[error("there is no {group} column {column}; nothing was appended")]
    NoSuchColumn {
        /// `numeric` or `categorical`.
        group: &'static str,
        /// Index given.
        column: usize,
    },
    /// More rows or categories than a 32-bit index can name; the table is as it was before.
    #[error("a table holds at most {limit} rows; nothing was appended")]
    TableFull {
        /// The limit.
        limit: usize,
    },
    /// A model or transformer that cannot learn from new rows alone.
    #[error("{what} cannot learn from new rows alone: {why}")]
    NoPartialFit {
        /// Name of the algorithm or transformer.
        what: &'static str,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// A column whose values are too large to be summed.
    #[error("column {column} has values that are too large to be summed; scale them down or leave them out")]
    Overflow {
        /// Index of the column.
        column: usize,
    },
    /// A missing value where every one is needed.
    #[error("row {row} has no value in column {column}; impute missing values first")]
    MissingValue {
        /// Index of the row among those given.
        row: usize,
        /// Index of the column.
        column: usize,
    },
    /// A category that was not there to learn from.
    #[error(
        "{value} at position {position} was not among the categories learned; fit again, or take it all the same: error_on_unseen = false"
    )]
    UnseenCategory {
        /// The category, quoted, or `a missing value`.
        value: String,
        /// Position in the slice.
        position: usize,
    },
    /// A part of a model that has no form in ONNX.
    #[error("{what} has no form in ONNX: {why}")]
    NotInOnnx {
        /// The part.
        what: String,
        /// Why, and what may be done.
        why: &'static str,
    },
    /// The optimiser gave up; the previous model stays the one to use.
    #[error("the fit did not converge to a finite model: {0}")]
    Solver(String),
    /// The bytes do not begin as a model file does.
    #[error("not a Tidemill model file")]
    NotAModel,
    /// The file holds a model of another kind.
    #[error("a {found} model file, where a {expected} is read")]
    OtherKind {
        /// Kind asked for.
        expected: &'static str,
        /// Kind in the file.
        found: &'static str,
    },
    /// The bytes are damaged.
    #[error("damaged model file: {0}")]
    CorruptModel(&'static str),
    /// The file is of another version of the format.
    #[error(
        "model file of format {found}, and this build reads format {supported}; train the model again or use the build that wrote it"
    )]
    OtherVersion {
        /// Format in the file.
        found: u32,
        /// Format of this build.
        supported: u32,
    },
    /// A model could not be written as bytes.
    #[error("could not encode the model: {0}")]
    Encode(String),
}

/// Whose doing an [`Error`] is, and so what to do next.
///
/// ```
/// use tidemill_ml::{Error, ErrorKind};
///
/// assert_eq!(Error::NoRows.kind(), ErrorKind::Data, "wait for more rows");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Settings or arguments: correct them.
    User,
    /// The rows at hand cannot make a model or a score yet: keep the last model and wait for more.
    Data,
    /// A model file is damaged or of another version: train again.
    Corrupt,
    /// A failure inside: report it.
    Internal,
}

fn did_you_mean(near: &Option<impl std::fmt::Display>) -> String {
    near.as_ref().map(|near| format!("did you mean `{near}`? ")).unwrap_or_default()
}

impl Error {
    /// A target that an algorithm does not learn.
    pub(crate) fn other_target(algorithm: Algorithm, found: TargetKind) -> Error {
        let targets: Vec<&str> = algorithm.info().targets.iter().map(|of| of.words()).collect();
        let others: Vec<&str> = ALGORITHMS.iter().filter(|of| of.learns(found)).map(|of| of.name).collect();
        let others = match others.is_empty() {
            true => String::new(),
            false => format!("; what learns {}: {}", found.words(), others.join(", ")),
        };
        let expected = targets.join(" or ");
        Error::OtherTarget { learner: algorithm.name(), expected, found: found.words(), others }
    }

    /// Whose doing this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InStep { error, .. } | Error::UnreadableStep { error, .. } => error.kind(),
            Error::NoRows
            | Error::TooFewRows { .. }
            | Error::TooManyRows { .. }
            | Error::TooFewForClusters { .. }
            | Error::NoCompleteRows
            | Error::NoRowsLeft { .. }
            | Error::OneClass { .. }
            | Error::OneOfManyClasses { .. }
            | Error::ClassWithoutRows { .. }
            | Error::BadTarget { .. }
            | Error::Overflow { .. }
            | Error::MissingValue { .. }
            | Error::UnseenCategory { .. }
            | Error::Solver(_) => ErrorKind::Data,
            Error::NotAModel
            | Error::OtherKind { .. }
            | Error::CorruptModel(_)
            | Error::OtherVersion { .. } => ErrorKind::Corrupt,
            Error::Encode(_) => ErrorKind::Internal,
            _ => ErrorKind::User,
        }
    }
}
