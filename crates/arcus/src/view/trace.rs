use arcus_api::v1::Trace;

use crate::table::{Paint, Width};

/// A line for each step, and where it ended.
pub(crate) fn trace(trace: &Trace, width: Width, paint: Paint) -> String {
    let digits = trace.steps.len().to_string().len();
    let steps = trace.steps.iter().enumerate();
    let mut lines: Vec<String> =
        steps.map(|(ix, step)| format!("{:>digits$}  {}", ix + 1, step.text)).collect();
    lines.push(if trace.outcome.is_good() {
        paint.strong(&trace.text)
    } else {
        paint.bad(&trace.text)
    });
    if let (Width::Wide, Some(packet)) = (width, &trace.packet) {
        lines.push(format!("packet  {packet}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use arcus_api::v1::{TraceAction, TraceOutcome, TraceStep};

    use super::*;

    #[test]
    fn steps_are_numbered_and_the_end_stands_below() {
        let routed = |next_hops| TraceStep {
            text: "looked up 10.20.0.5 in web".to_owned(),
            action: TraceAction::Routed {
                vrf: "web".to_owned(),
                address: [10, 20, 0, 5].into(),
                next_hops,
            },
        };
        let found = Trace {
            steps: vec![routed(Some(1)), routed(Some(2))],
            outcome: TraceOutcome::Sent { interface: "eth0".to_owned() },
            text: "sent by eth0".to_owned(),
            packet: Some("4500".to_owned()),
        };
        let steps = "1  looked up 10.20.0.5 in web\n2  looked up 10.20.0.5 in web\nsent by eth0\n";
        assert_eq!(trace(&found, Width::Normal, Paint::Off), steps);
        let wide = trace(&found, Width::Wide, Paint::Off);
        assert_eq!(wide, format!("{steps}packet  4500\n"));

        let lost = Trace {
            outcome: TraceOutcome::Dropped { reason: "no-route".to_owned() },
            text: "dropped: no-route".to_owned(),
            steps: vec![],
            packet: None,
        };
        let red = trace(&lost, Width::Wide, Paint::On);
        assert_eq!(red, "\u{1b}[31mdropped: no-route\u{1b}[0m\n");
    }
}
