//! The common code of event types, event IDs and field names: a text, its check, and the traits of
//! a text.
//!
//! A macro, because each of them is a type with its own docs.

/// Seals the traits that the macro defines.
pub trait Sealed {}

impl Sealed for &'static str {}

/// Defines a checked text type, and the trait of the values that convert into it.
///
/// `$check` is a `const fn(&[u8]) -> Option<InvalidTextKind>`.
macro_rules! checked_text {
    (
        $(#[$doc:meta])* $name:ident, $error:ident, $check:path, $static_message:literal;
        $(#[$into_doc:meta])* $into:ident, $into_fn:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name($crate::event::text::Text);

        impl $name {
            /// Creates a value from a literal, without a copy. In a `const` the compiler checks it.
            ///
            /// # Panics
            ///
            #[doc = concat!("Panics if the text is invalid: ", $static_message, ".")]
            #[must_use]
            #[track_caller]
            pub const fn from_static(text: &'static str) -> Self {
                match $check(text.as_bytes()) {
                    None => Self($crate::event::text::Text::Static(text)),
                    Some(_) => panic!($static_message),
                }
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            #[inline]
            pub(crate) fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// Checks a text, and returns it as this type if it is valid.
            fn checked(text: $crate::event::text::Text) -> Result<Self, $error> {
                match $check(text.as_bytes()) {
                    None => Ok(Self(text)),
                    Some(kind) => Err($error(kind)),
                }
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                Self::checked($crate::event::text::Text::copied(text))
            }
        }

        impl TryFrom<&String> for $name {
            type Error = $error;

            fn try_from(text: &String) -> Result<Self, $error> {
                Self::try_from(text.as_str())
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                Self::checked($crate::event::text::Text::from(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::try_from(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl Eq for $name {}

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self == *other
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_bytes().cmp(other.as_bytes())
            }
        }

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        $(#[$into_doc])*
        pub trait $into: $crate::event::checked::Sealed {
            #[doc(hidden)]
            #[track_caller]
            fn $into_fn(self) -> $name;
        }

        impl $into for $name {
            #[inline]
            fn $into_fn(self) -> $name {
                self
            }
        }

        // The compiler would recommend these where text is not checked, and hide the real cause.
        #[diagnostic::do_not_recommend]
        impl $into for &$name {
            #[inline]
            fn $into_fn(self) -> $name {
                self.clone()
            }
        }

        #[diagnostic::do_not_recommend]
        impl $into for &'static str {
            #[track_caller]
            #[inline]
            fn $into_fn(self) -> $name {
                $name::from_static(self)
            }
        }

        impl $crate::event::checked::Sealed for $name {}
        impl $crate::event::checked::Sealed for &$name {}
    };
}

pub(super) use checked_text;
