//! The definition of the kind Eip as a file, for those who install it without the binary.

use std::process::Command;

#[test]
fn the_copy_of_the_definition_is_what_porter_crd_prints() {
    let printed = Command::new(env!("CARGO_BIN_EXE_porter")).arg("crd").output();
    let printed = printed.expect("porter runs").stdout;
    let printed = String::from_utf8(printed).expect("YAML is text");
    let copy = include_str!("../deploy/crd/eips.yaml");
    assert!(
        printed == copy,
        "deploy/crd/eips.yaml is out of date; renew it with \
         `cargo run -p porter -- crd > deploy/crd/eips.yaml`"
    );
}
