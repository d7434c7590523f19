//! Loops compiled for the vector instructions that the processor has.
//!
//! A binary for any x86-64 has vectors of two numbers. What runs through [`wide()`] is compiled a second time for AVX2,
//! with vectors of four, and the processor is asked which to take. No multiplication is fused with an addition by this, so
//! both give the same bits.

/// Work worth wide vectors: its `run`, and all that it calls, is to be `#[inline(always)]`.
pub(super) trait Wide {
    type Output;
    fn run(self) -> Self::Output;
}

/// Runs with the widest vectors there are.
pub(super) fn wide<W: Wide>(work: W) -> W::Output {
    struct Op<W>(W);
    impl<W: Wide> pulp::WithSimd for Op<W> {
        type Output = W::Output;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> W::Output {
            self.0.run()
        }
    }
    pulp::Arch::new().dispatch(Op(work))
}
