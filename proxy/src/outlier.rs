//! What tries come to, as the registry needs to know it to eject replicas; and the one request of an endpoint that is on trial.
//!
//! Invariant: a success costs one relaxed load while nothing changes; the registry is told once when failures in a row become too many, and
//! once of what came of a trial. A failure is what a replica did or left undone: no connection, a broken answer or none, one that came too
//! late for the route, or a status of 500 and above that does not say "not this way" (`is_failure`). What a client does is never one.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fastrand::Rng;
use registry::event::Report;
use registry::snapshot::{Endpoint, EndpointId, Replica, Service, Trial, Unsettled};
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;

use crate::balance::slow;

/// Whether a status says that the replica could not do its work. 501 (Not Implemented) and 505 (HTTP Version Not Supported) say that the
/// request asks for what this kind of replica never does (RFC 9110 sections 15.6.2 and 15.6.6): every one would answer so.
pub(crate) fn is_failure(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}

/// Whether connecting failed for want of something of ours: open files, memory, ports. That is nobody else's failure, and would eject all.
fn is_ours(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::ADDRINUSE, Errno::PERM, Errno::ACCESS];
    error.raw_os_error().is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code))
}

/// The right to send an endpoint on trial its one request. Given back when nothing came of it.
#[derive(Debug)]
pub(crate) struct Ticket {
    endpoint: EndpointId,
    trial: Arc<Trial>,
    used: Cell<bool>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.used.get() {
            self.trial.give_back();
        }
    }
}

/// What came of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Nothing,
    /// A head that says that all is well; the rest may break.
    Well,
    Failure,
}

/// Follows one try to its end.
pub struct Witness {
    tries: Rc<Tries>,
    ticket: Option<Ticket>,
    came: Cell<Came>,
}

impl Witness {
    /// Of a try at `endpoint`, which was picked for `service` just now.
    pub fn new(tries: &Rc<Tries>, service: &Service, endpoint: EndpointId) -> Witness {
        Witness { ticket: tries.ticket_for(service, endpoint), tries: tries.clone(), came: Cell::new(Came::Nothing) }
    }

    /// A head came with this status.
    pub fn answered(&self, replica: &Arc<Replica>, status: u16) {
        if is_failure(status) {
            return self.failed(replica);
        }
        self.came.set(Came::Well);
        self.tries.tried(replica, self.ticket.as_ref(), true);
    }

    /// It came to nothing, which is told once.
    pub fn failed(&self, replica: &Arc<Replica>) {
        if self.came.replace(Came::Failure) != Came::Failure {
            self.tries.note_failure(replica, self.ticket.as_ref());
        }
    }

    /// No connection stood.
    pub fn unreachable(&self, replica: &Arc<Replica>, error: &io::Error) {
        if !is_ours(error) {
            self.failed(replica);
        }
    }

    /// All of the answer came, or nobody waits for the rest: what was well until now was well.
    pub fn over(&self, replica: &Replica) {
        if self.came.get() == Came::Well {
            note_success(replica);
        }
    }
}

fn note_success(replica: &Replica) {
    let failures = &replica.load.failures;
    if failures.load(Relaxed) != 0 {
        failures.store(0, Relaxed);
    }
}

/// A worker's tries: the right that its last pick won, and whom it tells what they come to.
pub struct Tries {
    /// To try an endpoint, until the try begins.
    ticket: Cell<Option<Ticket>>,
    /// So many failures in a row are told; 0: none are.
    threshold: Cell<u32>,
    reports: UnboundedSender<Report>,
}

impl Tries {
    /// None yet. So many failures in a row are told there; with 0 none are.
    pub fn new(threshold: u32, reports: UnboundedSender<Report>) -> Tries {
        Tries { ticket: Cell::default(), threshold: Cell::new(threshold), reports }
    }

    /// From now on so many in a row are told.
    pub(crate) fn renew(&self, threshold: u32) {
        self.threshold.set(threshold);
    }

    /// A pick by a policy that ties nobody to an endpoint: one on trial comes first, and young ones pass most of their picks on.
    pub fn pick_freely<'s>(
        &self,
        service: &'s Service,
        avoid: &[EndpointId],
        now_us: u64,
        rng: &mut Rng,
        pick: impl Fn(&[EndpointId], &mut Rng) -> Option<&'s Endpoint>,
    ) -> Option<&'s Endpoint> {
        let Some(unsettled) = &service.unsettled else { return pick(avoid, rng) };
        // What failed elsewhere is no trial: it would fail twice.
        if avoid.is_empty()
            && let Some(endpoint) = self.pick_on_trial(unsettled)
        {
            return Some(endpoint);
        }
        match &unsettled.young {
            Some(young) => slow::pick(young, avoid, now_us, rng, pick),
            None => pick(avoid, rng),
        }
    }

    /// An endpoint on trial that no other request tries now. The right to it waits for [`Tries::ticket_for`].
    fn pick_on_trial<'s>(&self, unsettled: &'s Unsettled) -> Option<&'s Endpoint> {
        drop(self.ticket.take()); // of a pick that nothing was sent by
        let mut trials = unsettled.aside.iter().filter_map(|aside| Some((&aside.endpoint, aside.trial.as_ref()?)));
        let (endpoint, trial) = trials.find(|(_, trial)| trial.take())?;
        self.ticket.set(Some(Ticket { endpoint: endpoint.id, trial: trial.clone(), used: Cell::new(false) }));
        Some(endpoint)
    }

    /// The right to try this endpoint, when the pick just now won it.
    pub(crate) fn ticket_for(&self, service: &Service, endpoint: EndpointId) -> Option<Ticket> {
        service.unsettled.as_ref()?;
        self.ticket.take().filter(|ticket| ticket.endpoint == endpoint)
    }

    /// An opaque connection to `replica` stands, or does not: of the bytes on it nothing is known.
    pub(crate) fn note_connection(&self, replica: &Arc<Replica>, ticket: Option<&Ticket>, connected: Result<(), &io::Error>) {
        match connected {
            Ok(()) => {
                note_success(replica);
                self.tried(replica, ticket, true);
            }
            Err(error) if is_ours(error) => {}
            Err(_) => self.note_failure(replica, ticket),
        }
    }

    /// A try came to nothing.
    pub(crate) fn note_failure(&self, replica: &Arc<Replica>, ticket: Option<&Ticket>) {
        let load = &replica.load;
        load.failed.fetch_add(1, Relaxed);
        let in_a_row = load.failures.fetch_add(1, Relaxed).wrapping_add(1);
        self.tried(replica, ticket, false);
        let threshold = self.threshold.get();
        if threshold > 0 && in_a_row == threshold && !load.told.swap(true, Relaxed) {
            self.report(Report::Outlier(replica.clone()));
        }
    }

    fn tried(&self, replica: &Arc<Replica>, ticket: Option<&Ticket>, well: bool) {
        if let Some(ticket) = ticket.filter(|ticket| !ticket.used.replace(true)) {
            self.report(Report::Tried { replica: replica.clone(), trial: ticket.trial.clone(), well });
        }
    }

    fn report(&self, report: Report) {
        let _ = self.reports.send(report); // nobody listens while the process ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_failure_when_another_replica_might_have_done_better() {
        assert!([500, 502, 503, 504, 507, 599].into_iter().all(is_failure));
        assert!([200, 301, 404, 429, 499, 501, 505].into_iter().all(|status| !is_failure(status)));
    }

    #[test]
    fn what_we_lack_ourselves_is_no_failure_of_a_replica() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!([Errno::MFILE, Errno::ADDRNOTAVAIL].into_iter().all(|errno| is_ours(&error(errno))));
        assert!([Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::CONNRESET].into_iter().all(|errno| !is_ours(&error(errno))));
        assert!(!is_ours(&io::ErrorKind::TimedOut.into()));
    }
}
