//! A run of a plugin without a database: each statement gets the answer that it was given before.

use std::collections::VecDeque;

use super::host::Stop;
use super::session::{AT_THE_END, Trouble};
use crate::sandbox::{BatchCall, BatchError, RowSet, SqlError, Step, Value};

/// The answers that are left, and how far they went.
#[derive(Debug, Default)]
pub struct Script {
    steps: VecDeque<Step>,
    /// How many were given.
    pub answered: usize,
    /// The first error among them.
    pub trouble: Option<Trouble>,
    /// The plugin went another way, from here on: what it ran where the step that is left first was recorded.
    pub astray: Option<Vec<BatchCall>>,
}

impl Script {
    /// A script of what was recorded.
    pub fn new(steps: Vec<Step>) -> Self {
        Self { steps: steps.into(), ..Self::default() }
    }

    /// The step that was to come next.
    pub fn expected(&self) -> Option<&Step> {
        self.steps.front()
    }

    /// The answer to `execute`.
    pub fn execute(
        &mut self,
        statement: &str,
        params: &[Value],
    ) -> Result<Result<u64, SqlError>, Stop> {
        match self.steps.front() {
            Some(Step::Execute { statement: s, params: p, .. })
                if s == statement && p == params => {}
            _ => return self.go_astray(vec![call(statement, params)]),
        }
        let Some(Step::Execute { answer, .. }) = self.next() else { return Err(Stop::OffScript) };
        Ok(answer.inspect_err(|error| self.note(statement, error)))
    }

    /// The answer to `query`.
    pub fn query(
        &mut self,
        statement: &str,
        params: &[Value],
    ) -> Result<Result<RowSet, SqlError>, Stop> {
        match self.steps.front() {
            Some(Step::Query { statement: s, params: p, .. }) if s == statement && p == params => {}
            _ => return self.go_astray(vec![call(statement, params)]),
        }
        let Some(Step::Query { answer, .. }) = self.next() else { return Err(Stop::OffScript) };
        Ok(answer.inspect_err(|error| self.note(statement, error)))
    }

    /// The answer to `execute-batch`.
    pub fn batch(&mut self, calls: &[BatchCall]) -> Result<Result<Vec<u64>, BatchError>, Stop> {
        match self.steps.front() {
            Some(Step::Batch { calls: recorded, .. }) if recorded == calls => {}
            _ => return self.go_astray(calls.to_vec()),
        }
        let Some(Step::Batch { answer, .. }) = self.next() else { return Err(Stop::OffScript) };
        Ok(answer.inspect_err(|failed| {
            let statement = calls.get(failed.call as usize).map_or("", |call| &*call.statement);
            self.note(statement, &failed.error);
        }))
    }

    /// After the plugin has returned: what deferred constraints said then.
    pub fn settle(&mut self) {
        if matches!(self.steps.front(), Some(Step::End(_)))
            && let Some(Step::End(error)) = self.next()
        {
            self.note(AT_THE_END, &error);
        }
    }

    fn next(&mut self) -> Option<Step> {
        self.answered += 1;
        self.steps.pop_front()
    }

    fn go_astray<T>(&mut self, calls: Vec<BatchCall>) -> Result<T, Stop> {
        self.astray = Some(calls);
        Err(Stop::OffScript)
    }

    fn note(&mut self, statement: &str, error: &SqlError) {
        if self.trouble.is_none() {
            self.trouble = Some(Trouble::new(statement, error));
        }
    }
}

fn call(statement: &str, params: &[Value]) -> BatchCall {
    BatchCall { statement: statement.to_owned(), params: params.to_vec() }
}
