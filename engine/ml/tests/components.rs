//! Principal components from outside: both backends, columns of one value, columns that depend on each other. Numbers of
//! scikit-learn's are in `preprocess.rs`.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::preprocess::{Pca, PcaBackend, PcaParams};

const BACKENDS: [PcaBackend; 2] = [PcaBackend::Tidemill, PcaBackend::Linfa];

#[test]
fn columns_of_one_value_say_nothing_whatever_it_is() {
    for backend in BACKENDS {
        for value in [0.1, 3.7, 1e6 + 0.1, 1e-9, 1e200] {
            // Means of which are not the value, summed one by one; and beside a column that differs.
            let many = Array2::from_elem((3_000, 2), value);
            let params = PcaParams { components: 2.into(), whiten: true, backend };
            let pca = Pca::fit(params, many.view()).unwrap().partial_fit(many.view()).unwrap();
            assert_eq!(pca.explained_variance_ratios(), [0.0, 0.0], "{value}");
            assert!(pca.transform(many.view()).unwrap().iter().all(|score| *score == 0.0), "{value}");
            let beside =
                Array2::from_shape_fn((3_000, 2), |(r, c)| if c == 0 { value } else { (r % 7) as f64 });
            let pca = Pca::fit(params, beside.view()).unwrap();
            assert_eq!(pca.explained_variance_ratios()[1], 0.0, "{value}");
            assert!(pca.transform(beside.view()).unwrap().column(1).iter().all(|score| score.abs() < 1e-9));
        }
        // A column that another one makes: its direction is rounding, and so are its scores.
        let twice = Array2::from_shape_fn((3_000, 2), |(r, c)| (r % 7) as f64 / 3.0 * (c + 1) as f64);
        let pca = Pca::fit(PcaParams { components: 2.into(), whiten: true, backend }, twice.view()).unwrap();
        assert!(pca.transform(twice.view()).unwrap().column(1).iter().all(|score| score.abs() < 1e-6));
    }
}

#[test]
fn components_of_linfa_are_ours() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
    // Rows, columns, what a column's values are multiplied with, columns that only repeat another; and to what variances and
    // right angles, and the first components, are the same.
    for (rows, columns, factor, repeated, near, same) in [
        (400, 14, 1.0, 0, 1e-8, 1e-6),
        (400, 14, 1e-6, 0, 1e-8, 1e-6),
        (400, 14, 1e9, 4, 1e-8, 1e-6),
        (60, 100, 1.0, 0, 1e-8, 1e-6),
        (60, 125, 1.0, 0, 1e-7, 1e-5),
        (900, 150, 30.0, 20, 1e-7, 1e-5),
        // The least lucky number of columns of those that were tried.
        (812, 401, 1.0, 0, 1e-3, 1e-2),
    ] {
        let mut x = Array2::from_shape_fn((rows, columns), |(_, c)| {
            random.gen_range(-1.0..1.0) * factor * (1.0 + c as f64 / 3.0)
        });
        for c in 0..repeated {
            let of = x.column(c).mapv(|v| v / 3.0 + 1.0);
            x.column_mut(columns - 1 - c).assign(&of);
        }
        let fit = |backend, components: usize| {
            Pca::fit(PcaParams { components: components.into(), backend, ..Default::default() }, x.view())
                .unwrap()
        };
        let ours = fit(PcaBackend::Tidemill, columns);
        for components in [1, 2, 5, 8, columns] {
            let found = fit(PcaBackend::Linfa, components);
            let largest = ours.explained_variances()[0];
            for (c, variance) in found.explained_variances().iter().enumerate() {
                assert!(
                    (variance - ours.explained_variances()[c]).abs() < near * largest,
                    "{rows} {columns} {c}"
                );
            }
            let lengths = found.components().dot(&found.components().t());
            let apart = (lengths - Array2::<f64>::eye(components)).mapv(f64::abs);
            assert!(apart.iter().all(|v| *v < near), "{rows} {columns} {components}");
            for (a, b) in found.components().rows().into_iter().zip(ours.components().rows()).take(8) {
                assert!((&a - &b).iter().all(|v| v.abs() < same), "{rows} {columns}: {a} {b}");
            }
        }
    }
}

#[test]
fn columns_that_depend_on_each_other_have_components_after_many_batches() {
    // Each batch rounds the same way, and so does their sum.
    let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
    let values: Vec<f64> = (0..8).map(|_| random.gen_range(-5.0..5.0)).collect();
    let x = Array2::from_shape_fn((1_024, 2), |(r, c)| values[r % 8] / (1 + 2 * c) as f64);
    for backend in BACKENDS {
        let params = PcaParams { components: 2.into(), backend, ..Default::default() };
        let mut pca = Pca::fit(params, x.view()).unwrap();
        for batch in 0..6_000 {
            pca = pca
                .partial_fit(x.view())
                .unwrap_or_else(|error| panic!("{backend:?}, batch {batch}: {error}"));
        }
        let ratios = pca.explained_variance_ratios();
        assert!((ratios[0] - 1.0).abs() < 1e-7 && ratios[1] < 1e-7, "{backend:?}: {ratios:?}");
    }
}

/// Why linfa's PCA is not the default, and not asked for a part of the components: if this fails, it may be.
#[test]
fn linfa_by_itself_is_wrong_about_a_part_of_the_components() {
    use linfa::DatasetBase;
    use linfa::traits::Fit;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let x =
        Array2::from_shape_fn((10_000, 14), |(_, c)| random.gen_range(-1.0..1.0) * (1.0 + c as f64 / 5.0));
    let ours = Pca::fit(PcaParams { components: 8.into(), ..Default::default() }, x.view()).unwrap();
    let alone = linfa_reduction::Pca::params(8).fit(&DatasetBase::from(x.view())).unwrap();
    let last = alone.singular_values()[7].powi(2) / 9_999.0;
    assert!(last < 0.6 * ours.explained_variances()[7], "{last} {:?}", ours.explained_variances());
}
