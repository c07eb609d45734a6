//! `porter crd`: what a cluster must know before anybody can write an Eip.

use std::{
    error::Error,
    io::{self, Write},
};

use clap::Args;
use kube::CustomResourceExt;
use porter_backends::kube::Eip;

/// Print the definition of the kind Eip, to be installed into a cluster.
///
/// `porter crd | kubectl apply -f -` installs it, or brings it up to date.
#[derive(Args, Debug)]
pub(crate) struct Crd {}

impl Crd {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let definition = serde_saphyr::to_string(&Eip::crd())?;
        io::stdout().write_all(definition.as_bytes())?;
        Ok(())
    }
}
