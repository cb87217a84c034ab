//! Stable codes of errors: what a person looks up, and what a program branches on. A code never changes its
//! meaning; `docs/errors.md` has the cause and the cure of each.

/// An error with a code, such as `expected-version-conflict`.
pub trait Coded {
    /// All that [`code`](Coded::code) answers by itself; other ones are those of the errors inside.
    const CODES: &'static [&'static str];

    /// The code of this error.
    fn code(&self) -> &'static str;
}

/// The codes of an error, beside its definition: every variant has one, or behind `else` an error that does.
macro_rules! codes {
    ($type:ty {
        $($pattern:pat => $code:literal,)*
    } $(else {
        $($outer:pat => $inner:expr,)*
    })?) => {
        impl $crate::code::Coded for $type {
            const CODES: &'static [&'static str] = &[$($code),*];

            fn code(&self) -> &'static str {
                match self {
                    $($pattern => $code,)*
                    $($($outer => $crate::code::Coded::code($inner),)*)?
                }
            }
        }
    };
}

pub(crate) use codes;
