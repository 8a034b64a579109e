//! What event types, ids and field names have in common: a text, a check, and every trait of a text.
//!
//! A macro, so that each is a type of its own with docs of its own. It is written for the one place
//! that uses it, `names.rs`, and takes what it needs from the imports there.

/// Defines one checked text type and the trait of what becomes one.
///
/// `$check` is a `const fn(&[u8]) -> Option<Fault>`.
macro_rules! checked_text {
    (
        $(#[$doc:meta])* $name:ident, $error:ident, $check:path, $static_message:literal;
        $(#[$into_doc:meta])* $into:ident, $into_fn:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub(super) Text);

        impl $name {
            /// Takes a literal, without copying it. In a `const` it is checked by the compiler.
            ///
            /// # Panics
            ///
            #[doc = concat!("Panics if the text cannot be one: ", $static_message, ".")]
            #[must_use]
            #[track_caller]
            pub const fn from_static(text: &'static str) -> Self {
                match $check(text.as_bytes()) {
                    None => Self(Text::Static(text)),
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

            /// Wraps what the check has seen and found to be fine.
            fn checked(text: Text) -> Result<Self, $error> {
                match $check(text.as_bytes()) {
                    None => Ok(Self(text)),
                    Some(fault) => Err($error { fault }),
                }
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                Self::checked(Text::copied(text))
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
                Self::checked(Text::from(text))
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::try_from(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
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

        impl hash::Hash for $name {
            fn hash<H: hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        $(#[$into_doc])*
        pub trait $into: sealed::Sealed {
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

        impl $into for &$name {
            #[inline]
            fn $into_fn(self) -> $name {
                self.clone()
            }
        }

        impl $into for &'static str {
            #[track_caller]
            #[inline]
            fn $into_fn(self) -> $name {
                $name::from_static(self)
            }
        }

        impl sealed::Sealed for $name {}
        impl sealed::Sealed for &$name {}
    };
}

pub(super) use checked_text;
