use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

type Task = Box<dyn FnOnce() + Send>;

const AGES: Duration = Duration::from_secs(3600);

fn crew(max: usize, keep_alive: Duration) -> Crew<Task> {
    Crew::new(max, keep_alive, |number| format!("crew {number}"))
}

/// A job that says its thread's name and stays until it is let go.
fn held(names: &Sender<String>) -> (Task, Sender<()>) {
    let (names, (go, gone)) = (names.clone(), mpsc::channel::<()>());
    let job = move || {
        names.send(std::thread::current().name().unwrap().to_owned()).unwrap();
        let _ = gone.recv();
    };
    (Box::new(job), go)
}

fn accepted(outcome: Result<(), Task>) -> bool {
    outcome.is_ok()
}

fn until(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(25), "the condition never came true");
        std::thread::yield_now();
    }
}

fn next(names: &Receiver<String>) -> String {
    names.recv_timeout(Duration::from_secs(25)).expect("a job begins")
}

#[test]
fn p14_a_full_crew_refuses_and_an_idle_thread_is_used_again() {
    let (sender, names) = mpsc::channel();
    let crew = crew(2, AGES);
    let jobs = [(); 3].map(|()| held(&sender));
    let [(first, go), (second, go_too), (third, _go)] = jobs;
    assert!(accepted(crew.execute(first)));
    assert_eq!(next(&names), "crew 1");
    assert!(accepted(crew.execute(second)));
    assert_eq!(next(&names), "crew 2");
    let third = crew.execute(third).expect_err("both are busy");
    assert_eq!(crew.alive(), 2);

    drop(go_too);
    until(|| !crew.members.roster.state.lock().idle.is_empty());
    assert!(accepted(crew.execute(third)));
    assert_eq!(next(&names), "crew 2", "the one that was free");
    assert_eq!(crew.alive(), 2);
    drop(go);
}

/// The last to fall asleep is woken first: of a crew that a burst has made large, what is not needed leaves.
#[test]
fn p8_with_little_to_do_all_but_one_leave() {
    let (sender, names) = mpsc::channel();
    let crew = crew(8, Duration::from_millis(40));
    let (jobs, gates): (Vec<_>, Vec<_>) = (0..8).map(|_| held(&sender)).unzip();
    jobs.into_iter().for_each(|job| assert!(accepted(crew.execute(job))));
    (0..8).for_each(|_| drop(next(&names)));
    assert_eq!(crew.alive(), 8);
    drop(gates);
    until(|| crew.members.roster.state.lock().busy == 0);
    // Without a break longer than the keep-alive time: first come, first served would keep all eight.
    until(|| {
        let (done, ended) = mpsc::channel::<()>();
        assert!(accepted(crew.execute(Box::new(move || drop(done)))));
        let _ = ended.recv();
        // Or else the next job comes while this thread is on its way to sleep, and two take turns for ever.
        until(|| crew.members.roster.state.lock().idle.len() == crew.alive());
        crew.alive() == 1
    });
    until(|| crew.alive() == 0);
    // The last to leave stops counting before it puts its handle where the next one joins it.
    until(|| {
        let handles = crew.members.handles.lock();
        handles.of.is_empty() && handles.left.is_some()
    });
}

/// Numbers are given again, the lowest first.
#[test]
fn a_thread_that_left_makes_room_for_its_number() {
    let (sender, names) = mpsc::channel();
    let crew = crew(3, Duration::from_millis(1));
    let (first, go) = held(&sender);
    let (second, go_too) = held(&sender);
    assert!(accepted(crew.execute(first)) && accepted(crew.execute(second)));
    let mut both = [next(&names), next(&names)];
    both.sort();
    assert_eq!(both, ["crew 1", "crew 2"]);
    drop(go);
    until(|| crew.members.handles.lock().of.iter().flatten().count() == 1);
    let (third, _go) = held(&sender);
    assert!(accepted(crew.execute(third)));
    let number = next(&names);
    assert!(both.contains(&number), "{number}");
    drop(go_too);
}

#[test]
fn p13_a_closed_crew_does_what_it_accepted_and_takes_no_more() {
    let (sender, names) = mpsc::channel();
    let crew = crew(1, AGES);
    let (first, go) = held(&sender);
    assert!(accepted(crew.execute(first)));
    next(&names);
    let done = Arc::new(AtomicBool::new(false));
    // As `execute` leaves it when a thread has just become free.
    let job = done.clone();
    crew.members.roster.state.lock().queue.push_back(Box::new(move || job.store(true, SeqCst)));
    crew.close();
    assert!(!accepted(crew.execute(Box::new(|| unreachable!("refused")))));
    drop(go);
    crew.join();
    assert!(done.load(SeqCst));
    assert_eq!(crew.alive(), 0);
}

/// Idle ones too: nobody waits for their keep-alive time to end.
#[test]
fn p8_closing_sends_idle_threads_home_and_join_leaves_out_the_calling_thread() {
    let crew = Arc::new(crew(3, AGES));
    let (done, ended) = mpsc::channel();
    let closer = crew.clone();
    for _ in 0..2 {
        let done = done.clone();
        assert!(accepted(crew.execute(Box::new(move || done.send(()).unwrap()))));
        ended.recv().unwrap();
    }
    until(|| !crew.members.roster.state.lock().idle.is_empty());
    assert!(accepted(crew.execute(Box::new(move || {
        closer.close();
        closer.join();
        done.send(()).unwrap();
    }))));
    ended.recv_timeout(Duration::from_secs(25)).expect("it does not wait for itself");
    until(|| crew.alive() == 0);
}

static HIRED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_job_for_which_the_system_has_no_thread_comes_back() {
    let nobody: Hire = |_, _| Err(std::io::ErrorKind::WouldBlock.into());
    let crew: Crew<Task> = Crew::hired_by(nobody, 2, AGES, |_| String::new());
    assert!(!accepted(crew.execute(Box::new(|| unreachable!("it came back")))));
    assert_eq!(crew.alive(), 0);

    // The first thread only: with it at work a second job finds none, and a third takes over when it is free.
    let one: Hire = |name, body| match HIRED.fetch_add(1, SeqCst) {
        0 => sync::spawn_named(name, body),
        _ => Err(std::io::ErrorKind::WouldBlock.into()),
    };
    let (sender, names) = mpsc::channel();
    let crew: Crew<Task> = Crew::hired_by(one, 2, AGES, |number| number.to_string());
    let (first, go) = held(&sender);
    assert!(accepted(crew.execute(first)));
    next(&names);
    assert!(!accepted(crew.execute(Box::new(|| unreachable!("it came back")))));
    drop(go);
    until(|| !crew.members.roster.state.lock().idle.is_empty());
    let (third, _go) = held(&sender);
    assert!(accepted(crew.execute(third)));
    assert_eq!(next(&names), "1");
}

/// As `execute` leaves it when a thread cannot be started, and another one has become free meanwhile.
#[test]
fn a_job_that_another_thread_will_take_does_not_come_back() {
    let roster: Roster<u8> = Roster::new(2, None);
    {
        let mut state = roster.state.lock();
        state.alive = 2;
        state.queue.push_back(1);
    }
    assert_eq!(roster.thread_is_missing(), None);
    assert_eq!(roster.thread_is_missing(), Some(1), "there is no other");
    assert_eq!(roster.alive(), 0);
}

#[test]
fn the_threads_of_a_group_are_named_after_it_and_used_again() {
    for (name, of_thread) in
        [(Some("users"), "flight users"), (None, "flight (unnamed group)"), (Some("a\0b"), "flight a b")]
    {
        let (sender, names) = mpsc::channel();
        let crew: Crew<Task> = flights(name);
        for _ in 0..3 {
            let (job, go) = held(&sender);
            assert!(accepted(crew.execute(job)));
            assert_eq!(next(&names), of_thread);
            drop(go);
            until(|| !crew.members.roster.state.lock().idle.is_empty());
        }
        assert_eq!(crew.alive(), 1);
        // As many as there are jobs.
        let (jobs, gates): (Vec<_>, Vec<_>) = (0..20).map(|_| held(&sender)).unzip();
        jobs.into_iter().for_each(|job| assert!(accepted(crew.execute(job))));
        (0..20).for_each(|_| drop(next(&names)));
        assert_eq!(crew.alive(), 20);
        drop(gates);
        let members = crew.members.clone();
        drop(crew);
        until(|| members.roster.alive() == 0);
    }
}
