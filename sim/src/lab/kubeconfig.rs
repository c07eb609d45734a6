//! How kubectl and the agents are told where the lab's API server is.

use serde_json::json;

/// A kubeconfig file for a server without certificates, for whoever acts for `account`, or else for
/// himself. JSON, which every YAML reader reads.
pub(crate) fn kubeconfig(server: &str, account: Option<&str>) -> String {
    let user = account.map_or_else(|| json!({}), |account| json!({ "as": account }));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "lab", "cluster": { "server": server } }],
        "users": [{ "name": "lab", "user": user }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "current-context": "lab",
    });
    format!("{config:#}\n")
}
