//! The `resource` parameter (RFC 8707): which resource servers a token shall be for.

use crate::model::params::Params;
use crate::model::resource_server::is_audience;
use crate::oauth::error::{Code, Error};
use crate::store::resource_servers::Scopes;

/// The audiences that a request names, as they were registered; none if it names none.
///
/// # Errors
/// `invalid_target` for what is no absolute URI without a fragment, or no audience here.
pub fn resources(params: &Params, scopes: &Scopes) -> Result<Vec<String>, Error> {
    let refused = |description| Err(Error::new(Code::InvalidTarget, description));
    let mut named: Vec<String> = Vec::new();
    for resource in params.all("resource") {
        if !is_audience(resource) {
            return refused("resource: an absolute URI without a fragment");
        }
        let Some(audience) = scopes.audience_of(resource) else {
            return refused("resource: there is no such resource server");
        };
        if !named.iter().any(|earlier| earlier == audience) {
            named.push(audience.to_owned());
        }
    }
    Ok(named)
}
