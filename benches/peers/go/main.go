// What golang.org/x/sync/singleflight does, and a write group built on it as published, each found by running it.
//
// With Debian's packages golang-go and golang-golang-x-sync-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run benches/peers/go/main.go
//
// Nothing sleeps in hope: a goroutine waits when the runtime says so.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

func main() {
	if len(os.Args) > 1 {
		children[os.Args[1]]()
		return
	}
	fmt.Println(runtime.Version())
	tell("a panic, Do, 3 waiters", panicDo())
	tell("a panic, DoChan", child("panic in DoChan"))
	tell("re-entry, nothing else runs", child("re-entry alone"))
	tell("re-entry, in a server", child("re-entry in a server"))
	tell("a -> b and b -> a, in a server", child("a circle in a server"))
	tell("another key inside", otherKey())
	tell("an error, 8 waiters", sharedError())
	tell("leaving, DoChan and select", leave())
	tell("a read after a write", afterAWrite(false))
	tell("the same, Forget after the write", afterAWrite(true))
	tell("8 writes during a run", burst())
	tell("published WriteGroup, overlap", overlap())
	tell("published WriteGroup, lost write", lostWrite())
	tell("a lone call", lone())
	for _, n := range []int{64, 1024} {
		tell(fmt.Sprintf("landing with %d waiters", n), fanOut(n))
	}
}

func tell(what, found string) { fmt.Printf("%-36s %s\n", what+":", found) }

// --- how to know that somebody waits -------------------------------------------------------------------------------

// waiting returns when exactly n goroutines wait in a sync.WaitGroup.
func waiting(n int) {
	stacks := make([]byte, 1<<22)
	for {
		all := string(stacks[:runtime.Stack(stacks, true)])
		if strings.Count(all, "sync.(*WaitGroup).Wait(") == n {
			return
		}
		runtime.Gosched()
	}
}

// alone counts runs, and how many of them ran at the same time.
type alone struct{ runs, now, most int64 }

func (a *alone) run(body func()) {
	atomic.AddInt64(&a.runs, 1)
	now := atomic.AddInt64(&a.now, 1)
	for {
		most := atomic.LoadInt64(&a.most)
		if now <= most || atomic.CompareAndSwapInt64(&a.most, most, now) {
			break
		}
	}
	defer atomic.AddInt64(&a.now, -1)
	body()
}

// held starts a call and returns when its closure runs: what lets it go on, and where its call returns to.
func held(call func(stay func())) (release func(), returned chan struct{}) {
	entered, gate := make(chan struct{}), make(chan struct{})
	returned = make(chan struct{})
	go func() {
		defer close(returned)
		call(func() {
			close(entered)
			<-gate
		})
	}()
	<-entered
	return func() { close(gate) }, returned
}

// --- processes of their own ------------------------------------------------------------------------------------------

var children = map[string]func(){
	"panic in DoChan": func() {
		var g singleflight.Group
		defer func() { _ = recover() }() // it does not help: the panic is on another goroutine
		<-g.DoChan("k", func() (interface{}, error) { panic("boom") })
	},
	"re-entry alone": reEnter,
	"a circle in a server": func() {
		busy()
		var g singleflight.Group
		var bothRun, both sync.WaitGroup
		bothRun.Add(2)
		both.Add(2)
		for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
			go func(mine, other string) {
				g.Do(mine, func() (interface{}, error) {
					bothRun.Done()
					bothRun.Wait()
					v, err, _ := g.Do(other, func() (interface{}, error) { return 0, nil })
					return v, err
				})
				both.Done()
			}(pair[0], pair[1])
		}
		both.Wait()
		fmt.Println("returned")
	},
	"re-entry in a server": func() {
		busy()
		reEnter()
	},
}

// busy keeps the runtime from seeing that nobody gets on, as an accept loop would.
func busy() {
	go func() {
		for range time.Tick(10 * time.Millisecond) {
		}
	}()
}

func reEnter() {
	var g singleflight.Group
	g.Do("k", func() (interface{}, error) {
		v, err, _ := g.Do("k", func() (interface{}, error) { return 0, nil })
		return v, err
	})
	fmt.Println("returned")
}

func child(name string) string {
	cmd := exec.Command(os.Args[0], name)
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err.Error()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		first := strings.SplitN(out.String(), "\n", 2)[0]
		return fmt.Sprintf("%v: %s", err, first)
	case <-time.After(3 * time.Second):
		_ = cmd.Process.Kill()
		return "not back after 3 s, and nothing said"
	}
}

// --- x/sync --------------------------------------------------------------------------------------------------------

func panicDo() string {
	var g singleflight.Group
	var runs, unwound int64
	call := func(body func()) {
		defer func() {
			if recover() != nil {
				atomic.AddInt64(&unwound, 1)
			}
		}()
		g.Do("k", func() (interface{}, error) {
			atomic.AddInt64(&runs, 1)
			body()
			return 7, nil
		})
	}
	release, leader := held(func(stay func()) { call(func() { stay(); panic("boom") }) })
	var others sync.WaitGroup
	for i := 0; i < 3; i++ {
		others.Add(1)
		go func() { defer others.Done(); call(func() {}) }()
	}
	waiting(3)
	release()
	<-leader
	others.Wait()
	again, _, _ := g.Do("k", func() (interface{}, error) { return 2, nil })
	return fmt.Sprintf("%d run, %d of 4 callers panic; then %v", runs, unwound, again)
}

func otherKey() string {
	var g singleflight.Group
	v, _, _ := g.Do("a", func() (interface{}, error) {
		v, _, _ := g.Do("b", func() (interface{}, error) { return 2, nil })
		return v.(int) + 1, nil
	})
	return fmt.Sprint(v)
}

func sharedError() string {
	var g singleflight.Group
	var a alone
	var told int64
	down := errors.New("down")
	call := func(body func()) {
		_, err, _ := g.Do("k", func() (interface{}, error) { a.run(body); return nil, down })
		if err == down {
			atomic.AddInt64(&told, 1)
		}
	}
	release, leader := held(func(stay func()) { call(stay) })
	var others sync.WaitGroup
	for i := 0; i < 8; i++ {
		others.Add(1)
		go func() { defer others.Done(); call(func() {}) }()
	}
	waiting(8)
	release()
	<-leader
	others.Wait()
	return fmt.Sprintf("%d run, %d of 9 callers get the error", a.runs, told)
}

func leave() string {
	var g singleflight.Group
	gate := make(chan struct{})
	result := g.DoChan("k", func() (interface{}, error) { <-gate; return 1, nil })
	select {
	case <-result:
		return "it ended too early"
	case <-time.After(20 * time.Millisecond):
	}
	close(gate)
	return fmt.Sprintf("leaves; the work goes on and ends with %v", (<-result).Val)
}

func afterAWrite(forget bool) string {
	var g singleflight.Group
	var source int64 = 1
	look := func(stay func()) func() (interface{}, error) {
		return func() (interface{}, error) { seen := atomic.LoadInt64(&source); stay(); return seen, nil }
	}
	release, before := held(func(stay func()) { g.Do("k", look(stay)) })
	atomic.StoreInt64(&source, 2)
	if forget {
		g.Forget("k")
	}
	next := make(chan interface{})
	go func() { v, _, _ := g.Do("k", look(func() {})); next <- v }()
	var v interface{}
	if forget {
		v = <-next
		release()
	} else {
		waiting(1)
		release()
		v = <-next
	}
	<-before
	if v == int64(2) {
		return "new"
	}
	return "old"
}

// writer is what saves: the shared state, and what was saved last.
type writer struct {
	state, saved int64
	alone
}

func (w *writer) save(stay func()) func() (interface{}, error) {
	return func() (interface{}, error) {
		w.run(func() {
			seen := atomic.LoadInt64(&w.state)
			stay()
			atomic.StoreInt64(&w.saved, seen)
		})
		return nil, nil
	}
}

func burst() string {
	var g singleflight.Group
	w := new(writer)
	release, first := held(func(stay func()) { g.Do("k", w.save(stay)) })
	var others sync.WaitGroup
	for i := 1; i <= 8; i++ {
		atomic.StoreInt64(&w.state, int64(i))
		others.Add(1)
		go func() { defer others.Done(); g.Do("k", w.save(func() {})) }()
		waiting(i)
	}
	release()
	<-first
	others.Wait()
	return fmt.Sprintf("%d run, state %d, saved %d", w.runs, w.state, w.saved)
}

// --- the published WriteGroup ----------------------------------------------------------------------------------------

// published is built as the article describes it: whoever finds nobody at it runs, and the others wait for that run
// and then go through a single flight. Written anew.
type published struct {
	mu     sync.Mutex
	firsts map[string]*sync.WaitGroup
	queue  singleflight.Group
}

func (g *published) do(key string, fn func() (interface{}, error)) {
	g.mu.Lock()
	if g.firsts == nil {
		g.firsts = map[string]*sync.WaitGroup{}
	}
	if first, busy := g.firsts[key]; busy {
		g.mu.Unlock()
		first.Wait()
		g.queue.Do(key, fn)
		return
	}
	mine := new(sync.WaitGroup)
	mine.Add(1)
	g.firsts[key] = mine
	g.mu.Unlock()
	fn()
	g.mu.Lock()
	delete(g.firsts, key)
	mine.Done()
	g.mu.Unlock()
}

// a runs; b waits for it, and then runs in the single flight; returned is b's run, held.
func queued(g *published, w *writer) (release func(), returned chan struct{}) {
	releaseA, a := held(func(stay func()) { g.do("k", w.save(stay)) })
	entered, gate := make(chan struct{}), make(chan struct{})
	returned = make(chan struct{})
	go func() {
		defer close(returned)
		g.do("k", w.save(func() { close(entered); <-gate }))
	}()
	waiting(1)
	releaseA()
	<-a
	<-entered
	return func() { close(gate) }, returned
}

func overlap() string {
	g, w := new(published), new(writer)
	releaseB, b := queued(g, w)
	g.do("k", w.save(func() {})) // c finds no first caller: it runs, beside b
	releaseB()
	<-b
	return fmt.Sprintf("%d runs, %d at a time", w.runs, w.most)
}

func lostWrite() string {
	g, w := new(published), new(writer)
	releaseB, b := queued(g, w)
	releaseC, c := held(func(stay func()) { g.do("k", w.save(stay)) })
	atomic.StoreInt64(&w.state, 1) // d's change, after b and c have looked
	d := make(chan struct{})
	go func() { g.do("k", w.save(func() {})); close(d) }()
	waiting(1) // d waits for c,
	releaseC()
	<-c
	waiting(1) // and then joins b, which began before d called
	releaseB()
	<-b
	<-d
	return fmt.Sprintf("%d runs, state %d, saved %d when the caller who changed it is back", w.runs, w.state, w.saved)
}

// --- costs -----------------------------------------------------------------------------------------------------------

func lone() string {
	var g singleflight.Group
	const n = 1 << 20
	var times []float64
	for round := 0; round < 9; round++ {
		began := time.Now()
		for i := 0; i < n; i++ {
			g.Do("k", func() (interface{}, error) { return nil, nil })
		}
		times = append(times, float64(time.Since(began).Nanoseconds())/n)
	}
	sort.Float64s(times)
	return fmt.Sprintf("%.0f ns", times[len(times)/2])
}

// From the end of the work until the last waiter is back.
func fanOut(n int) string {
	var times []float64
	for round := 0; round < 51; round++ {
		var g singleflight.Group
		var landed time.Time
		release, leader := held(func(stay func()) {
			g.Do("k", func() (interface{}, error) { stay(); landed = time.Now(); return 1, nil })
		})
		back := make([]time.Time, n)
		var others, here sync.WaitGroup
		here.Add(n)
		for i := 0; i < n; i++ {
			others.Add(1)
			go func(i int) {
				here.Done()
				g.Do("k", func() (interface{}, error) { return 2, nil })
				back[i] = time.Now()
				others.Done()
			}(i)
		}
		here.Wait()
		waiting(n)
		release()
		<-leader
		others.Wait()
		last := landed
		for _, at := range back {
			if at.After(last) {
				last = at
			}
		}
		times = append(times, float64(last.Sub(landed).Microseconds()))
	}
	sort.Float64s(times)
	return fmt.Sprintf("the last is back after %.0f us", times[len(times)/2])
}
