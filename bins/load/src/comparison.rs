//! What one thing costs: the same load on two kinds of server, in turn.

use std::error::Error;

use crate::client::Protocol;
use crate::server::{Kind, Server};
use crate::{USERS, talk};

/// The load of each round, and the number of rounds.
#[derive(clap::Args)]
pub(crate) struct Comparison {
    /// Rounds, each with both kinds of server.
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

/// Compares the processor time of a delivery: `base` first, then what it is compared with and its
/// name. Returns whether nothing was lost.
pub(crate) async fn compare(
    [base, other]: [Kind; 2],
    named: &str,
    (store, shards, protocol): (&str, usize, Protocol),
    load: &Comparison,
) -> Result<bool, Box<dyn Error>> {
    let Comparison { rounds, clients, rate, seconds } = *load;
    println!("{clients} sockets in one room, {rate} messages a second for {seconds} s, {rounds} rounds");
    let expected = u64::from(rate) * seconds * clients as u64;
    let (mut bases_us, mut others_us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut costs = [0.0; 2];
        // The rounds begin with each kind in turn, so that a machine that becomes slower harms both.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for half in order {
            let server = Server::start(store, shards, [base, other][half]).await?;
            let cookies = server.users(USERS).await?;
            server.becomes_idle().await?;
            let counts = talk(&server, protocol, &cookies, clients, rate, seconds).await?;
            if counts.received != expected || counts.disordered > 0 {
                println!("{expected} deliveries expected, {} arrived", counts.received);
                return Ok(false);
            }
            costs[half] = counts.cpu.as_secs_f64() * 1e6 / expected as f64;
        }
        let [one, two] = costs;
        println!("{one:.2} µs a delivery, {named} {two:.2} µs: {:.2} times", two / one);
        bases_us.push(one);
        others_us.push(two);
        ratios.push(two / one);
    }
    let [one, two, ratio] = [bases_us, others_us, ratios].map(|mut values| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
        [at(0.5), at(0.25), at(0.75)]
    });
    println!(
        "server processor time a delivery, medians: {:.2} µs, {named} {:.2} µs; ratio {:.2} (half of the rounds: {:.2} to {:.2})",
        one[0], two[0], ratio[0], ratio[1], ratio[2]
    );
    Ok(true)
}
