//! `tidemill broker`: the embedded broker as a process of its own.

use tidemill_broker::{Broker, BrokerConfig};

use super::broker_error;
use crate::cli::BrokerArgs;
use crate::exit::{Done, print_line};
use crate::notes::note;
use crate::{signals, style};

/// Runs until a signal. The one line on stdout, `listening on HOST:PORT`, says that it accepts connections.
pub(crate) async fn run(args: &BrokerArgs) -> Done {
    let stop = signals::watch("")?;
    let broker = Broker::start(BrokerConfig::new(args.listen, &args.data_dir)).await.map_err(broker_error)?;
    print_line(&format!("listening on {}", broker.address()))?;
    note(format_args!("Topics are kept in {}. Ctrl-C stops it.", style::folder(&args.data_dir)));
    note("This broker is for development: one process, loopback only.");
    note("It has no replication, no transactions and no rebalancing of groups.");
    note("In production use Apache Kafka: https://kafka.apache.org/quickstart");
    stop.wait().await;
    broker.shutdown().await.map_err(broker_error)?;
    Ok(stop.outcome())
}
