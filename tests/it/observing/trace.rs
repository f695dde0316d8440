//! Writes down every span and event of this process, in the order it happens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, OnceLock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

pub(crate) type Fields = BTreeMap<&'static str, String>;

#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Its place in the trace.
    pub(crate) at: usize,
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) fields: Fields,
    #[cfg_attr(flight_group_shuttle, allow(dead_code, reason = "the model asks for links only"))]
    pub(crate) parent: Option<usize>,
    pub(crate) follows: Vec<usize>,
    pub(crate) entered: usize,
    pub(crate) exited: usize,
    pub(crate) closed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) fields: Fields,
    pub(crate) inside: Option<usize>,
}

/// What was seen of one group, in the order it happened.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) spans: Vec<Span>,
    pub(crate) events: Vec<Told>,
}

#[derive(Default)]
struct Everything {
    /// By number, for those of a group can be forgotten.
    spans: BTreeMap<usize, Span>,
    numbers: usize,
    events: Vec<Told>,
    /// Which callback (counted per group) is to panic.
    fuses: BTreeMap<String, usize>,
}

fn everything() -> &'static Mutex<Everything> {
    static EVERYTHING: OnceLock<Mutex<Everything>> = OnceLock::new();
    EVERYTHING.get_or_init(|| {
        let subscriber = tracing_subscriber::registry().with(Writer);
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber of these tests");
        Mutex::default()
    })
}

fn write<R>(body: impl FnOnce(&mut Everything) -> R) -> R {
    body(&mut everything().lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Starts writing. To be called before anything is to be seen.
pub(crate) fn start() {
    everything();
}

/// What was seen of the group so far: its own spans, and the events in them or with its name.
pub(crate) fn of(group: &str) -> Trace {
    write(|all| {
        let spans: Vec<Span> = all.spans.values().filter(|span| is_of(&span.fields, group)).cloned().collect();
        let inside = |at: Option<usize>| spans.iter().any(|span| Some(span.at) == at);
        let ours = |event: &&Told| is_of(&event.fields, group) || inside(event.inside);
        let events = all.events.iter().filter(ours).cloned().collect();
        Trace { spans, events }
    })
}

fn is_of(fields: &Fields, group: &str) -> bool {
    fields.get("group").is_some_and(|name| name == group)
}

/// Forgets what was seen of the group: for those who look at thousands, one after the other.
#[allow(dead_code, reason = "the model tests do")]
pub(crate) fn forget(group: &str) {
    let gone = of(group);
    let ours = |at: usize| gone.spans.iter().any(|span| span.at == at);
    write(|all| {
        all.spans.retain(|at, _| !ours(*at));
        all.events.retain(|event| !event.inside.is_some_and(ours) && !is_of(&event.fields, group));
    });
}

/// Makes the `n`-th callback (from 0) that concerns the group panic.
#[allow(dead_code, reason = "the model tests do not")]
pub(crate) fn set_bomb(group: &str, n: usize) {
    write(|trace| trace.fuses.insert(group.to_owned(), n + 1));
}

/// Whether the group's bomb is still to go off.
#[allow(dead_code, reason = "the model tests do not")]
pub(crate) fn disarm(group: &str) -> bool {
    write(|trace| trace.fuses.remove(group).is_some_and(|fuse| fuse > 0))
}

impl Trace {
    #[allow(dead_code, reason = "the model tests do not")]
    pub(crate) fn named(&self, name: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.name == name).collect()
    }

    #[allow(dead_code, reason = "the model tests do not")]
    pub(crate) fn messages(&self) -> Vec<(Level, &str)> {
        self.events.iter().map(|event| (event.level, &*event.message)).collect()
    }

    /// What holds of every trace once all is quiet: everything that was opened was closed and says how it ended.
    #[track_caller]
    pub(crate) fn assert_complete(&self) {
        for span in &self.spans {
            assert_eq!(span.target, "flight_group");
            assert!(span.closed, "left open: {span:?}");
            assert_eq!(span.entered, span.exited, "entered and not left: {span:?}");
            let outcome = span.fields.get("outcome").unwrap_or_else(|| panic!("how did it end? {span:?}"));
            match span.name {
                "flight" => assert!(span.follows.is_empty()),
                "wait" => {
                    // shuttle leaves and enters a task's spans with the task.
                    assert!(span.entered == 1 || cfg!(flight_group_shuttle), "{span:?}");
                    let linked = span.follows.iter().all(|at| {
                        self.spans.iter().any(|to| {
                            (to.at, to.name, to.fields.get("flight")) == (*at, "flight", span.fields.get("flight"))
                        })
                    });
                    assert!(linked && span.follows.len() <= 1, "linked to another flight: {span:?}");
                    let served = ["value", "failed", "panicked", "missing"].contains(&&**outcome);
                    assert!(!served || span.follows.len() == 1, "not linked to the flight that served it: {span:?}");
                }
                other => panic!("a span nobody knows: {other}"),
            }
        }
    }
}

struct Writer;

/// The span's place in the trace, and its group.
struct Place(usize, Option<String>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Writer {
    /// Neither the model checker's own spans, of which there is one for every step of every schedule, nor its events.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target().starts_with("shuttle") { Interest::never() } else { Interest::always() }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        let group = fields.get("group").cloned();
        let parent = span.parent().and_then(|parent| parent.extensions().get::<Place>().map(|place| place.0));
        let (name, target) = (attributes.metadata().name(), attributes.metadata().target());
        let at = write(|trace| {
            let at = trace.numbers;
            trace.numbers += 1;
            let span =
                Span { at, name, target, fields, parent, follows: Vec::new(), entered: 0, exited: 0, closed: false };
            trace.spans.insert(at, span);
            at
        });
        span.extensions_mut().insert(Place(at, group.clone()));
        burn(group.as_deref());
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        on(id, &context, |span| values.record(&mut Reader(&mut span.fields)));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let target = context.span(follows).expect("a span that is still there");
        let at = target.extensions().get::<Place>().unwrap().0;
        on(id, &context, |span| span.follows.push(at));
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        on(id, &context, |span| span.entered += 1);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        on(id, &context, |span| span.exited += 1);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        on(&id, &context, |span| span.closed = true);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        let span = context.event_span(event);
        let (inside, mut group) = span.map_or((None, None), |span| {
            let extensions = span.extensions();
            extensions.get::<Place>().map_or((None, None), |place| (Some(place.0), place.1.clone()))
        });
        group = group.or_else(|| fields.get("group").cloned());
        let message = fields.remove("message").unwrap_or_default();
        write(|trace| trace.events.push(Told { level: *event.metadata().level(), message, fields, inside }));
        burn(group.as_deref());
    }
}

fn on<S: Subscriber + for<'a> LookupSpan<'a>>(id: &Id, context: &Context<'_, S>, change: impl FnOnce(&mut Span)) {
    let span = context.span(id).unwrap();
    let (at, group) = {
        let extensions = span.extensions();
        let Some(place) = extensions.get::<Place>() else { return };
        (place.0, place.1.clone())
    };
    write(|trace| change(trace.spans.get_mut(&at).expect("nobody has forgotten it")));
    burn(group.as_deref());
}

/// One callback nearer to the group's bomb.
fn burn(group: Option<&str>) {
    let Some(group) = group else { return };
    let explodes = write(|trace| match trace.fuses.get_mut(group) {
        Some(fuse) if *fuse > 0 => {
            *fuse -= 1;
            *fuse == 0
        }
        _ => false,
    });
    assert!(!explodes, "the subscriber's bomb");
}

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}
