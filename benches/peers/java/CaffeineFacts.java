// What Java's Caffeine does, found by running it.
//
// With a JDK of 11 or later and Debian's package libcaffeine-java:
//
//   java -cp /usr/share/java/caffeine.jar benches/peers/java/CaffeineFacts.java
//
// Nothing sleeps in hope: a thread waits when the JVM says so.

import com.github.benmanes.caffeine.cache.AsyncLoadingCache;
import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.LoadingCache;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;

public class CaffeineFacts {
    public static void main(String[] args) throws Exception {
        System.out.println("Java " + System.getProperty("java.version"));
        java.util.logging.Logger.getLogger("com.github.benmanes.caffeine").setLevel(java.util.logging.Level.OFF);
        tell("a loader throws, 8 waiters", failing());
        tell("re-entry, same thread", sameThread());
        tell("re-entry, a -> b and b -> a", twoThreads());
        tell("leaving, AsyncLoadingCache", leave());
        tell("invalidate during a load", afterAWrite());
        tell("8 asMap().compute during one", burst());
        tell("a refresh that fails", refreshFails());
        System.exit(0); // the two threads of the circle are still in it
    }

    static void tell(String what, String found) {
        System.out.printf("%-36s %s%n", what + ":", found);
    }

    // --- how to know that somebody waits -----------------------------------------------------------------------

    static void untilWaiting(List<Thread> threads) {
        for (Thread thread : threads) {
            while (thread.getState() != Thread.State.BLOCKED && thread.getState() != Thread.State.WAITING) {
                Thread.onSpinWait();
            }
        }
    }

    static Thread start(Runnable body) {
        Thread thread = new Thread(body);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Counts runs, and how many of them ran at the same time. */
    static class Alone {
        final AtomicInteger runs = new AtomicInteger(), now = new AtomicInteger(), most = new AtomicInteger();

        <T> T run(Supplier<T> body) {
            runs.incrementAndGet();
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            try {
                return body.get();
            } finally {
                now.decrementAndGet();
            }
        }
    }

    // --- the facts -----------------------------------------------------------------------------------------------

    static String failing() throws Exception {
        Cache<Integer, Integer> cache = Caffeine.newBuilder().maximumSize(100).build();
        Alone alone = new Alone();
        AtomicInteger told = new AtomicInteger();
        CountDownLatch entered = new CountDownLatch(1), gate = new CountDownLatch(1);
        Runnable call = () -> {
            try {
                cache.get(1, key -> alone.run(() -> {
                    entered.countDown();
                    CaffeineFacts.await(gate);
                    throw new IllegalStateException("down");
                }));
            } catch (IllegalStateException e) {
                told.incrementAndGet();
            }
        };
        List<Thread> threads = new ArrayList<>(List.of(start(call)));
        entered.await();
        for (int i = 0; i < 8; i++) {
            threads.add(start(call));
        }
        untilWaiting(threads);
        gate.countDown();
        for (Thread thread : threads) {
            thread.join();
        }
        return alone.runs + " runs, " + alone.most + " at a time, " + told + " of 9 callers see an exception";
    }

    static String sameThread() {
        Cache<Integer, Integer> cache = Caffeine.newBuilder().maximumSize(100).build();
        try {
            return "returns " + cache.get(1, key -> cache.get(1, again -> 0));
        } catch (IllegalStateException e) {
            return e.toString();
        }
    }

    static String twoThreads() throws Exception {
        Cache<Integer, Integer> cache = Caffeine.newBuilder().maximumSize(100).build();
        CyclicBarrier bothRun = new CyclicBarrier(2);
        List<Thread> threads = new ArrayList<>();
        for (int[] pair : new int[][] {{1, 2}, {2, 1}}) {
            threads.add(start(() -> cache.get(pair[0], key -> {
                try {
                    bothRun.await();
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
                return cache.get(pair[1], other -> 0);
            })));
        }
        long[] dead = null;
        while (dead == null && threads.stream().anyMatch(Thread::isAlive)) {
            dead = ManagementFactory.getThreadMXBean().findDeadlockedThreads();
        }
        return dead == null ? "both return" : "hangs; the JVM finds " + dead.length + " deadlocked threads when asked";
    }

    static String leave() throws Exception {
        CountDownLatch gate = new CountDownLatch(1);
        AsyncLoadingCache<Integer, Integer> cache = Caffeine.newBuilder().buildAsync(key -> {
            gate.await();
            return 1;
        });
        try {
            return "returns " + cache.get(1).get(20, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            gate.countDown();
            return "leaves; the work goes on and ends with " + cache.get(1).get();
        }
    }

    static String afterAWrite() throws Exception {
        Cache<Integer, Integer> cache = Caffeine.newBuilder().maximumSize(100).build();
        AtomicInteger source = new AtomicInteger(1);
        CountDownLatch entered = new CountDownLatch(1), gate = new CountDownLatch(1);
        Thread before = start(() -> cache.get(1, key -> {
            int seen = source.get();
            entered.countDown();
            CaffeineFacts.await(gate);
            return seen;
        }));
        entered.await();
        source.set(2);
        AtomicReference<Integer> next = new AtomicReference<>();
        Thread writer = start(() -> {
            cache.invalidate(1);
            next.set(cache.get(1, key -> source.get()));
        });
        while (writer.isAlive() && writer.getState() != Thread.State.BLOCKED) {
            Thread.onSpinWait();
        }
        String when = writer.isAlive() ? "waits for the load, then the next read is " : "returns at once, the next read is ";
        gate.countDown();
        before.join();
        writer.join();
        return when + (next.get() == 2 ? "new" : "old");
    }

    static String burst() throws Exception {
        Cache<Integer, Integer> cache = Caffeine.newBuilder().maximumSize(100).build();
        Alone alone = new Alone();
        AtomicInteger state = new AtomicInteger(), saved = new AtomicInteger(-1);
        CountDownLatch entered = new CountDownLatch(1), gate = new CountDownLatch(1);
        Runnable save = () -> cache.asMap().compute(1, (key, old) -> alone.run(() -> {
            int seen = state.get();
            entered.countDown();
            CaffeineFacts.await(gate);
            saved.set(seen);
            return seen;
        }));
        List<Thread> threads = new ArrayList<>(List.of(start(save)));
        entered.await();
        for (int i = 1; i <= 8; i++) {
            state.set(i);
            threads.add(start(save));
        }
        untilWaiting(threads);
        gate.countDown();
        for (Thread thread : threads) {
            thread.join();
        }
        return alone.runs + " runs, " + alone.most + " at a time, state " + state + ", saved " + saved;
    }

    static String refreshFails() throws Exception {
        AtomicInteger loads = new AtomicInteger();
        CountDownLatch failed = new CountDownLatch(1);
        LoadingCache<Integer, Integer> cache = Caffeine.newBuilder().executor(task -> start(() -> {
            task.run();
            failed.countDown();
        })).build(key -> {
            if (loads.incrementAndGet() > 1) {
                throw new IllegalStateException("down");
            }
            return 1;
        });
        cache.get(1);
        cache.refresh(1);
        failed.await();
        return loads + " loads, and the cache still says " + cache.getIfPresent(1);
    }
}
