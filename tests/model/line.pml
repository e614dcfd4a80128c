/* Tickets, inquire and yield: one holder at a time (or readers), and everybody who waits is granted in the end.
 *
 * Three nodes grant in the order of the tickets; whoever was granted too early gives it back when inquired. Messages of
 * a connection keep their order and take any time. Connections break, leases of those who wait run out, acquires are
 * sent again, acquisitions are cancelled, and a node dies. There is no clock: a lease runs out early only where its
 * owner does not rely on it any more, which quorum_lease shows.
 *
 * Every run ends (no cycle is reachable), and where it ends everybody is done and the nodes hold nothing. FOREVER:
 * everybody comes back for ever, with a new ticket; then `granted` must hold under weak fairness.
 */
#ifndef NODES
#define NODES 3
#endif
#define MAJORITY (NODES / 2 + 1)
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef READERS
#define READERS 0                 /* of the clients, those with the last numbers ask for shared locks */
#endif
#ifndef FAULTS
#define FAULTS 0
#endif
#ifdef MINORITY
#define PROMISED (CLIENTS - 1)
#define CUT_OFF(c) ((c) == 0 && cut_off)
#else
#define PROMISED 0
#define CUT_OFF(c) false
#endif
#define PAIRS (CLIENTS * NODES)
#define P(c, n) ((c) * NODES + (n))

#define IDLE 0
#define WAITING 1
#define HELD 2
#define DONE 3

/* THE INVARIANTS: who holds excludes whom it must; everything comes to rest with everybody done; who waits will hold. */
#define over(c) (phase[c] == DONE || CUT_OFF(c))
#define holds(c) (phase[c] == HELD)
#define reader(c) ((c) >= CLIENTS - READERS)
#define clash(c, d) (holds(c) && holds(d) && !(reader(c) && reader(d)))
#if CLIENTS == 2
#define exclusive (!clash(0, 1))
#define all_done (over(0) && over(1))
#else
#define exclusive (!clash(0, 1) && !clash(0, 2) && !clash(1, 2))
#define all_done (over(0) && over(1) && over(2))
#endif
#define stands(c, n) (!counts[P(c, n)] || lease[P(c, n)] && number[P(c, n)] == grant[P(c, n)] || dead == n + 1)
#define at_rest (all_done && (cut_off || free(0) && free(NODES / 2) && free(NODES - 1)))
#define free(n) (!leases[n] || dead == (n) + 1)
#ifdef FOREVER
ltl granted { [] ((phase[PROMISED] == WAITING) -> <> (phase[PROMISED] == HELD)) }
#endif

/* Coordinators */
byte phase[CLIENTS];
#if CLIENTS == 2
byte rank[CLIENTS] = { 0, 1 };    /* the order of their tickets */
#else
byte rank[CLIENTS] = { 0, 1, 2 };
#endif
byte grant[PAIRS];                /* 0: none; grant_id */
bool counts[PAIRS];               /* its bound lies ahead */
bool renewing[PAIRS];             /* a renewal was sent for it */
byte yielded[PAIRS];              /* newest grant_id given back */

/* Nodes */
bool lease[PAIRS];
byte leases[NODES];               /* how many stand */
byte number[PAIRS];               /* grant_id of the newest grant */
byte expired[PAIRS];              /* newest grant_id that ran out: those before it ran out too, or were given back */
byte inquired[PAIRS];             /* the heads of the line for which this holder was inquired */
bool line[PAIRS];
byte dead;                        /* 0: none; node + 1 */

/* Connections */
#define ACQUIRE 1
#define YIELD 2
#define RENEW 3
#define RELEASE 4
#define GRANTED 5
#define RESENT 6
#define INQUIRE 7
#define RENEWED 8
#define LOST 9
#ifndef ROOM
#define ROOM 6
#endif
chan up[PAIRS] = [ROOM] of { byte, byte };
chan down[PAIRS] = [ROOM] of { byte, byte };
bool cut[PAIRS];
bool cut_off;                     /* client 0 reaches all nodes but the last for ever */
byte faults = FAULTS;

#define asks(c) (phase[c] == WAITING || phase[c] == HELD)
#define counted(c) (counts[P(c, 0)] + (NODES > 1 && counts[P(c, NODES / 2)]) + (NODES > 2 && counts[P(c, NODES - 1)]))
#define linked(c, n) (!cut[P(c, n)] && dead != (n) + 1)
#define live(c) (linked(c, 0) + (NODES > 1 && linked(c, NODES / 2)) + (NODES > 2 && linked(c, NODES - 1)))
#define all_gone(c) (gone(c, 0) && gone(c, NODES / 2) && gone(c, NODES - 1))
#define gone(c, n) (!lease[P(c, n)] && !line[P(c, n)] && empty(up[P(c, n)]) && empty(down[P(c, n)]) || dead == n + 1)
hidden byte i, j, head, kind, id; /* of the step that is being taken */

inline ask(c, n, what, about)
{
    if
    :: cut[P(c, n)] || dead == n + 1
    :: else -> assert(nfull(up[P(c, n)])); up[P(c, n)]!what, about
    fi
}

inline answer(c, n, what, about)
{
    if
    :: cut[P(c, n)] || dead == n + 1
    :: else -> assert(nfull(down[P(c, n)])); down[P(c, n)]!what, about
    fi
}

#include "line_node.inc"

/* What a coordinator does */

inline record(p, bounded)
{
    grant[p] = id;
    renewing[p] = false;
    counts[p] = bounded && id > expired[p]
}

inline forget(p)
{
    grant[p] = 0;
    counts[p] = false;
    renewing[p] = false
}

inline on_granted(c, n)
{
    if
#ifdef YIELDED_GRANT_COUNTS
    :: id == yielded[P(c, n)] -> record(P(c, n), true)
#else
    :: id == yielded[P(c, n)] -> ask(c, n, YIELD, id)
#endif
    :: id != yielded[P(c, n)] && kind == GRANTED -> record(P(c, n), true)
    :: id != yielded[P(c, n)] && kind == RESENT && id != grant[P(c, n)] -> record(P(c, n), false)
    :: else
    fi
}

inline on_inquire(c, n)
{
    if
#ifdef YIELD_WHILE_HELD
    :: grant[P(c, n)] == id ->
#else
    :: grant[P(c, n)] == id && phase[c] == WAITING ->
#endif
        forget(P(c, n));
        yielded[P(c, n)] = id;
        ask(c, n, YIELD, id)
    :: else
    fi
}

inline on_answer(c, n)
{
    if
    :: kind == GRANTED || kind == RESENT -> on_granted(c, n)
#ifndef NO_YIELD
    :: kind == INQUIRE -> on_inquire(c, n)
#endif
    :: kind == RENEWED && grant[P(c, n)] ->
        renewing[P(c, n)] = false;
        counts[P(c, n)] = (grant[P(c, n)] > expired[P(c, n)])
    :: kind == LOST -> forget(P(c, n)); ask(c, n, ACQUIRE, 0)
    :: else
    fi;
    if
    :: phase[c] == WAITING && counted(c) >= MAJORITY ->
        phase[c] = HELD;
        for (i : 0 .. NODES - 1) { assert(stands(c, i)) }
    :: else
    fi
}

inline receive(c, n)
{
    down[P(c, n)]?kind, id;
    if
    :: asks(c) -> on_answer(c, n)
    :: else
    fi
}

inline start(c)
{
    for (i : 0 .. NODES - 1) { ask(c, i, ACQUIRE, 0) }
    phase[c] = WAITING
}

inline finish(c)
{
    for (i : 0 .. NODES - 1) {
        forget(P(c, i));
        yielded[P(c, i)] = 0;
        ask(c, i, RELEASE, 0)
    }
    phase[c] = DONE
}

/* Seeing a minority only, it waits for better times under a token of its own. */
inline step_apart(c)
{
    finish(c);
    phase[c] = IDLE
}

/* With a new token nothing is known of it, and its ticket is the last. */
inline come_back(c)
{
    for (i : 0 .. CLIENTS - 1) { rank[i] = (rank[i] > rank[c] -> rank[i] - 1 : rank[i]) }
    rank[c] = CLIENTS - 1;
    for (i : P(c, 0) .. P(c, NODES - 1)) {
        number[i] = 0;
        expired[i] = 0
    }
    phase[c] = IDLE
}

/* What happens to them */

#define alive(c, n) (asks(c) && !cut[P(c, n)] && dead != n + 1)
#define spared(c, n) (phase[c] == WAITING || !counts[P(c, n)] || counted(c) > MAJORITY)

inline catch_up(c, n)
{
    cut[P(c, n)] = false;
    renewing[P(c, n)] = false;
    if
    :: phase[c] == WAITING || phase[c] == HELD && !grant[P(c, n)] -> ask(c, n, ACQUIRE, 0)
    :: phase[c] == HELD && grant[P(c, n)] -> renewing[P(c, n)] = true; ask(c, n, RENEW, 0)
    :: else -> ask(c, n, RELEASE, 0)
    fi
}

inline disconnect(c, n)
{
    do
    :: up[P(c, n)]?_, _
    :: down[P(c, n)]?_, _
    :: empty(up[P(c, n)]) && empty(down[P(c, n)]) -> break
    od;
    cut[P(c, n)] = true
}

inline run_out(c, n)
{
    expired[P(c, n)] = number[P(c, n)];
    counts[P(c, n)] = counts[P(c, n)] && grant[P(c, n)] != number[P(c, n)];
    drop(c, n);
    settle(n)
}

inline die(n)
{
    for (i : 0 .. CLIENTS - 1) {
        disconnect(i, n);
        cut[P(i, n)] = false;
        counts[P(i, n)] = counts[P(i, n)] && phase[i] == HELD
    }
    dead = n + 1
}

#define p _pid
#define c (_pid / NODES)
#define n (_pid % NODES)

active [PAIRS] proctype Node()
{
end:
    do
    :: d_step { nempty(up[p]) && dead != n + 1 -> read(c, n) }
    od
}

#undef p
#undef c
#undef n
#define p (_pid - PAIRS)
#define c (p / NODES)
#define n (p % NODES)

active [PAIRS] proctype Connection()
{
end:
    do
    :: d_step { nempty(down[p]) -> receive(c, n) }
    :: d_step { grant[p] && !counts[p] && !renewing[p] && alive(c, n) -> renewing[p] = true; ask(c, n, RENEW, 0) }
    :: d_step { cut[p] && !CUT_OFF(c) -> catch_up(c, n) }
    :: d_step { cut[p] && CUT_OFF(c) && lease[p] && phase[c] != HELD -> run_out(c, n) }
#ifdef MINORITY
    :: d_step { p == NODES - 1 && alive(c, n) -> cut_off = true; disconnect(c, n); line[p] = false; settle(n) }
#endif
#if FAULTS
    :: d_step { faults && alive(c, n) -> faults--; disconnect(c, n) }
    :: d_step { faults && alive(c, n) && line[p] -> faults--; disconnect(c, n); line[p] = false; settle(n) }
    :: d_step { faults && alive(c, n) && lease[p] && spared(c, n) -> faults--; run_out(c, n) }
    :: d_step { faults && alive(c, n) && phase[c] == WAITING -> faults--; ask(c, n, ACQUIRE, 0) }
#endif
    od
}

#undef p
#undef c
#undef n
#define c (_pid - 2 * PAIRS)

active [CLIENTS] proctype Coordinator()
{
end:
    do
    :: d_step { phase[c] == IDLE && live(c) >= MAJORITY && all_gone(c) -> start(c) }
    :: d_step { phase[c] == HELD -> finish(c) }
#ifndef STAYS_IN_LINE
    :: d_step { phase[c] == WAITING && live(c) < MAJORITY -> step_apart(c) }
#endif
#ifdef FOREVER
    :: d_step { phase[c] == DONE && all_gone(c) -> come_back(c) }
#endif
#if FAULTS
    :: d_step { faults && phase[c] == WAITING -> faults--; finish(c) }
#endif
    od
}

#undef c

#if FAULTS
active proctype Fault()
{
    do
#if NODES == 3
    :: d_step { faults && !dead -> faults--; die(0) }
    :: d_step { faults && !dead -> faults--; die(1) }
    :: d_step { faults && !dead -> faults--; die(2) }
#endif
    :: faults -> faults = 0
    :: !faults -> break
    od
}
#endif

active proctype Invariants()
{
end:
    do
    :: !exclusive -> assert(false)
    :: timeout -> assert(at_rest); break
    od
}
