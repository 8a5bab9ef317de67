//! A plane in memory that can be told to fail.

use dataplane::{Counters, Dataplane, DataplaneError, Fib, Found, Memory, Op, PortId, Result};

#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(crate) memory: Memory,
    /// Attaching this port fails.
    pub(crate) broken: Option<PortId>,
    /// What it says when it is asked, true or not.
    pub(crate) are_routes_as_left: bool,
    /// Operations that were tried.
    pub(crate) tried: usize,
}

impl From<Memory> for Faulty {
    fn from(memory: Memory) -> Self {
        Self { memory, ..Self::default() }
    }
}

impl Faulty {
    fn apply_one(&mut self, op: &Op) -> Result<()> {
        self.tried += 1;
        match op {
            Op::PutPort(id, _) if Some(id) == self.broken.as_ref() => Err(DataplaneError::because(
                format!("port {id} cannot be attached"),
                "no such namespace",
            )),
            op => self.memory.apply_one(op),
        }
    }
}

impl Dataplane for Faulty {
    async fn list(&mut self) -> Result<Found> {
        Ok(self.memory.state.clone())
    }

    async fn review(&mut self) -> Result<(Found, Option<Fib>)> {
        let Found { fib, .. } = self.memory.state.clone();
        let rest = Found { fib: Fib::new(), ..self.memory.state.clone() };
        Ok((rest, Some(fib).filter(|_| !self.are_routes_as_left)))
    }

    async fn apply(&mut self, ops: &[Op]) -> Vec<(usize, DataplaneError)> {
        let outcomes = ops.iter().map(|op| self.apply_one(op)).enumerate();
        outcomes.filter_map(|(index, outcome)| Some((index, outcome.err()?))).collect()
    }

    async fn counters(&mut self) -> Result<Counters> {
        Ok(Counters::default())
    }

    fn was_found(&self) -> bool {
        self.memory.found
    }
}
