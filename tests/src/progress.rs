//! What plain progress says about each step.
//!
//! ```text
//! #5 [build 2/3] RUN make
//! #5 0.310 cc -o app app.c
//! #5 WHY variable CFLAGS: -O1 → -O2
//! #5 DONE 1.2s
//! ```

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    Cached,
    Cancelled,
    /// Nothing was said about its end.
    Open,
    Error(String),
}

#[derive(Debug, Default)]
pub struct Progress {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    number: String,
    name: String,
    end: End,
    output: String,
    why: Vec<String>,
}

impl Progress {
    pub fn parse(text: &str) -> Self {
        let mut progress = Self::default();
        for line in text.lines() {
            let Some((number, rest)) = line.strip_prefix('#').and_then(|line| line.split_once(' ')) else {
                continue;
            };
            if number.parse::<u32>().is_ok() {
                progress.line(number, rest);
            }
        }
        progress
    }

    fn line(&mut self, number: &str, rest: &str) {
        let Some(step) = self.steps.iter_mut().find(|step| step.number == number) else {
            let (number, name) = (number.to_owned(), rest.to_owned());
            self.steps.push(Step { number, name, end: End::Open, output: String::new(), why: Vec::new() });
            return;
        };
        if rest == step.name {
            return; // it goes on after another has had its say
        }
        match rest.split_once(' ').unwrap_or((rest, "")) {
            ("DONE", _) => step.end = End::Done,
            ("CACHED", _) => step.end = End::Cached,
            ("CANCELED", _) => step.end = End::Cancelled,
            ("ERROR:", reason) => step.end = End::Error(reason.to_owned()),
            ("WHY", cause) => step.why.push(cause.to_owned()),
            ("...", _) => {}
            (_, output) => {
                step.output.push_str(output);
                step.output.push('\n');
            }
        }
    }

    /// How the one step whose name holds `part` ended.
    #[track_caller]
    pub fn end(&self, part: &str) -> &End {
        &self.step(part).end
    }

    /// What the one step whose name holds `part` has written.
    #[track_caller]
    pub fn output(&self, part: &str) -> &str {
        &self.step(part).output
    }

    /// Why the one step whose name holds `part` ran although something like it was known.
    #[track_caller]
    pub fn why(&self, part: &str) -> &[String] {
        &self.step(part).why
    }

    #[track_caller]
    fn step(&self, part: &str) -> &Step {
        let mut found = self.steps.iter().filter(|step| step.name.contains(part));
        match (found.next(), found.next()) {
            (Some(step), None) => step,
            (None, _) => panic!("no step {part:?} in {:#?}", self.names()),
            _ => panic!("more than one step {part:?} in {:#?}", self.names()),
        }
    }

    pub fn names(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.name.as_str()).collect()
    }

    /// Names of steps of the Dockerfile (`[stage 2/4] …`, without FROM) that were executed.
    pub fn ran(&self) -> Vec<&str> {
        self.of_dockerfile(|end| *end == End::Done)
    }

    /// Names of steps of the Dockerfile (without FROM) that came from the cache.
    pub fn cached(&self) -> Vec<&str> {
        self.of_dockerfile(|end| *end == End::Cached)
    }

    fn of_dockerfile(&self, wanted: impl Fn(&End) -> bool) -> Vec<&str> {
        let of_stage = |name: &str| {
            let place = name.strip_prefix('[').and_then(|name| name.split_once(']'));
            place.is_some_and(|(place, rest)| place.contains('/') && !rest.starts_with(" FROM "))
        };
        let found = self.steps.iter().filter(|step| of_stage(&step.name) && wanted(&step.end));
        found.map(|step| step.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_apart() {
        let text = "#1 [internal] load build definition\n#1 DONE 0.0s\n\n#2 [a 1/3] FROM busybox\n#2 DONE 0.1s\n\n\
            #3 [a 2/3] RUN make\n\n#4 [a 3/3] RUN test\n#4 CACHED\n\n#3 ... [a 2/3] RUN make\n#3 0.1 cc app.c\n#3 DONE 1.0s\n";
        let progress = Progress::parse(text);
        assert_eq!(progress.ran(), ["[a 2/3] RUN make"]);
        assert_eq!(progress.cached(), ["[a 3/3] RUN test"]);
        assert_eq!(progress.output("RUN make"), "cc app.c\n");
        assert_eq!(*progress.end("FROM"), End::Done);
    }
}
