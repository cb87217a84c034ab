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

    /// The answer to a question about the log.
    pub fn log(&mut self, asked: &serde_json::Value) -> Result<serde_json::Value, Stop> {
        match self.steps.front() {
            Some(Step::Log { asked: recorded, .. }) if recorded == asked => {}
            _ => return self.go_astray(vec![call(&asked.to_string(), &[])]),
        }
        let Some(Step::Log { answer, .. }) = self.next() else { return Err(Stop::OffScript) };
        Ok(answer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::SqlErrorKind;

    fn execute(statement: &str, answer: Result<u64, SqlError>) -> Step {
        Step::Execute { statement: statement.to_owned(), params: vec![Value::Int64(1)], answer }
    }

    #[test]
    fn each_question_gets_the_answer_that_it_got_before() {
        let error = SqlError::new(SqlErrorKind::Constraint, "it is taken");
        let steps =
            vec![execute("A", Ok(7)), execute("B", Err(error.clone())), Step::End(error.clone())];
        let mut script = Script::new(steps);
        assert_eq!(script.execute("A", &[Value::Int64(1)]), Ok(Ok(7)));
        assert_eq!(script.execute("B", &[Value::Int64(1)]), Ok(Err(error)));
        assert_eq!(
            (script.answered, script.trouble.as_ref().unwrap().statement.as_str()),
            (2, "B")
        );
    }

    #[test]
    fn another_question_has_no_answer_and_is_kept() {
        let mut script = Script::new(vec![execute("A", Ok(7))]);
        for (statement, param) in [("B", 1), ("A", 2)] {
            let params = [Value::Int64(param)];
            assert_eq!(script.execute(statement, &params), Err(Stop::OffScript));
            assert_eq!(script.astray, Some(vec![call(statement, &params)]));
        }
        assert_eq!(script.query("A", &[Value::Int64(1)]), Err(Stop::OffScript));
        assert!(script.batch(&[]).is_err());
        assert_eq!((script.answered, script.expected().is_some()), (0, true));
    }

    #[test]
    fn constraints_that_failed_at_the_end_fail_there_again() {
        let error = SqlError::new(SqlErrorKind::Constraint, "there is no such account");
        let mut script = Script::new(vec![execute("A", Ok(1)), Step::End(error.clone())]);
        script.settle();
        assert!(script.trouble.is_none(), "the end is not reached yet");
        script.execute("A", &[Value::Int64(1)]).unwrap().unwrap();
        script.settle();
        assert_eq!(script.trouble.unwrap().error, error);
    }
}
