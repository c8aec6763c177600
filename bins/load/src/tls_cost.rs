//! What TLS costs: the same load without it and with it, in turn.

use std::error::Error;

use crate::client::Protocol;
use crate::server::Server;
use crate::{USERS, talk};

/// The load of each round, and the number of rounds.
#[derive(clap::Args)]
pub(crate) struct TlsCost {
    /// Rounds, each without TLS and with it.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Sockets in the room.
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// Messages a second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Seconds of load in each half of a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Runs the load. Returns whether nothing was lost.
pub(crate) async fn tls_cost(
    store: &str,
    shards: usize,
    protocol: Protocol,
    options: &TlsCost,
) -> Result<bool, Box<dyn Error>> {
    let TlsCost { rounds, clients, rate, seconds } = *options;
    println!("{clients} sockets in one room, {rate} messages a second for {seconds} s, {rounds} rounds");
    let expected = u64::from(rate) * seconds * clients as u64;
    let (mut plain_us, mut tls_us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut costs = [0.0; 2];
        // The rounds begin with plain and TLS in turn, so that a machine that becomes slower harms both.
        let order = if round % 2 == 0 { [false, true] } else { [true, false] };
        for with_tls in order {
            let server = Server::start(store, shards, with_tls).await?;
            let cookies = server.users(USERS).await?;
            let counts = talk(&server, protocol, &cookies, clients, rate, seconds).await?;
            if counts.received != expected || counts.disordered > 0 {
                println!("{expected} deliveries expected, {} arrived", counts.received);
                return Ok(false);
            }
            costs[usize::from(with_tls)] = counts.cpu.as_secs_f64() * 1e6 / expected as f64;
        }
        let [plain, tls] = costs;
        println!("{plain:.2} µs a delivery, with TLS {tls:.2} µs: {:.2} times", tls / plain);
        plain_us.push(plain);
        tls_us.push(tls);
        ratios.push(tls / plain);
    }
    let [plain, tls, ratio] = [plain_us, tls_us, ratios].map(|mut values| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
        [at(0.5), at(0.25), at(0.75)]
    });
    println!(
        "server processor time a delivery, medians: {:.2} µs, with TLS {:.2} µs; ratio {:.2} (half of the rounds: {:.2} to {:.2})",
        plain[0], tls[0], ratio[0], ratio[1], ratio[2]
    );
    Ok(true)
}
