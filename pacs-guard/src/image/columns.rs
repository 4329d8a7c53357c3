//! The columns of a row of rulings: one a service, and more where a drain tells a service's ports apart.

use std::collections::HashMap;

use super::{CompileError, Leaving};
use crate::policy::model::{Policy, Transport};

/// One ruling of each row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Column {
    /// The index of the service.
    pub(super) service: usize,
    /// The parts of the drain that its ports are in.
    pub(super) parts: Vec<usize>,
}

/// All columns, in their order in a row: first one a service, for the ports of no drain.
pub(super) struct Columns {
    pub(super) list: Vec<Column>,
    /// The TCP ports whose column is another than their service's.
    draining: HashMap<u16, u8>,
}

impl Columns {
    /// A port's byte in the port table has one value for ports that nothing protects.
    pub(super) const MOST: usize = 255;

    pub(super) fn new(policy: &Policy, drain: &[Leaving]) -> Result<Self, CompileError> {
        let services = 0..policy.services.len();
        let mut list: Vec<Column> = services.map(|service| Column { service, parts: Vec::new() }).collect();
        let mut draining = HashMap::new();
        let mut known: HashMap<Column, usize> = HashMap::new();
        if !drain.is_empty() {
            for (index, service) in policy.services.iter().enumerate() {
                let ports = service.ports.iter().filter(|_| service.transport == Transport::Tcp);
                for port in ports.flat_map(|range| range.clone()) {
                    let parts = drain.iter().enumerate().filter(|(_, leaving)| leaving.has_port(port));
                    let parts: Vec<usize> = parts.map(|(part, _)| part).collect();
                    if parts.is_empty() {
                        continue;
                    }
                    let column = Column { service: index, parts };
                    let number = *known.entry(column).or_insert_with_key(|column| {
                        list.push(column.clone());
                        list.len() - 1
                    });
                    let number =
                        u8::try_from(number).map_err(|_| CompileError::TooManyColumns(number + 1))?;
                    draining.insert(port, number);
                }
            }
        }
        if list.len() > Self::MOST {
            return Err(CompileError::TooManyColumns(list.len()));
        }
        Ok(Self { list, draining })
    }

    /// The column of a port that a service protects.
    pub(super) fn of_port(&self, service: usize, transport: Transport, port: u16) -> u8 {
        let draining = self.draining.get(&port).filter(|_| transport == Transport::Tcp);
        draining.copied().unwrap_or(service as u8)
    }
}
