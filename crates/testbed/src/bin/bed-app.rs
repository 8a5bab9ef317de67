//! The programs that run inside a bed, for the tests of this crate; the demo has them as a subcommand.

use clap::Parser;
use testbed::app::App;

/// Programs that run inside a test bed
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    app: App,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    Args::parse().app.run().await
}
