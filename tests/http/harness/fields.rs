//! Parameters of a query or of a form, in order; they may repeat.

pub const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub const EMPTY: Self = Self(Vec::new());

    pub fn new(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The sentence that every act on somebody else asks for.
    pub fn reason() -> Self {
        Self::new(&[("reason", "It was looked at.")])
    }

    /// With `name` set to `value`, in place of what it was.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.and(name, value)
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| other != name);
        self
    }

    /// With one more `name`, beside any that is there.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("no field {name} in {self:?}")).1
    }

    pub fn encode(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}
