/* A quorum of leases, measured by clocks that differ, never has two valid holders.
 *
 * Nodes grant leases of TTL ticks; a coordinator relies on each until echo + TTL - DRIFT of its own clock. Time goes on
 * without end and at any moment: whoever takes no step meanwhile pauses. Answers are late or lost, nodes restart with
 * their journal (FORGETS: without it, and are then silent), acquisitions end and begin again under new tokens.
 */
#define NODES 3
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef TTL
#define TTL 3
#endif
#ifndef ANSWERS
#define ANSWERS 3                 /* under way at once, in the whole cluster */
#endif
#ifndef STARTS
#define STARTS 2                  /* acquisitions of all clients together */
#endif
#ifndef FAULTS
#define FAULTS 2                  /* broken connections and restarts */
#endif

#ifdef MAJORITY_OFF_BY_ONE
#define MAJORITY (NODES / 2)
#else
#define MAJORITY (NODES / 2 + 1)
#endif
#ifdef NO_DRIFT
#define DRIFT 0
#else
#define DRIFT 1
#endif
#ifdef NO_SILENCE
#define SILENCE 0
#else
#define SILENCE TTL
#endif

#define PAIRS (CLIENTS * NODES)
#define P(c, n) ((c) * NODES + (n))

/* THE INVARIANT: whoever is valid became a holder last of all. So two are never valid at once, and a validity that has
 * ended does not revive after another holder. */
#define counts(c, n) (grant[P(c, n)] > RECORDED)
#define quorum(c) (counts(c, 0) + counts(c, 1) + counts(c, 2) >= MAJORITY)
#define exclusive(c) (!(phase[c] == HELD && quorum(c)) || last_holder == c + 1)

/* Coordinators */
#define IDLE 0
#define WAITING 1
#define HELD 2
byte phase[CLIENTS];
#define RECORDED 1                /* known, but its bound does not lie ahead: it does not count */
byte grant[PAIRS];                /* 0: none; RECORDED + ticks of the coordinator's clock until its bound */
bool to_ask[PAIRS];               /* acquire is to be sent again */
byte last_holder;                 /* client + 1; read by the invariant only */

/* Nodes */
byte lease[NODES];                /* 0: none; client + 1 */
bool lease_is_old[NODES];         /* it stands for an earlier token of that client, whose release is under way */
byte left[NODES];                 /* ticks of the node's clock until the deadline */
byte silent[NODES];               /* ticks until a node that may have forgotten grants serves */
bool line[PAIRS];                 /* an acquire is under way to the node, or stands in its line */

/* Answers under way, at most one of a pair. The echo is in ticks of the coordinator's clock ago; what is too old to give
 * a bound grows no older. A decision rests on a `sent` of this very moment: an older one only gives less to rely on. */
#define OLDEST (TTL - DRIFT)
#define GRANTED 1
#define RESENT 2
#define RENEWED 3
#define LOST 4
byte down[PAIRS];
bool down_is_old[PAIRS];          /* it answers an earlier token */
byte echo[PAIRS];
byte answers;
byte starts = STARTS;
byte faults = FAULTS;

/* Clocks: those of nodes go right, that of a slow client misses one tick in TTL. */
#define slow(c) ((c) == 0)
byte moment;

hidden byte i, j;                 /* for loops */

/* What a coordinator does */

inline start(c)
{
    for (i : P(c, 0) .. P(c, NODES - 1)) { line[i] = true }
    phase[c] = WAITING
}

inline end(c)
{
    for (i : 0 .. NODES - 1) {
        grant[P(c, i)] = 0;
        to_ask[P(c, i)] = false;
        leave(P(c, i));
        down_is_old[P(c, i)] = (down[P(c, i)] != 0);
        lease_is_old[i] = lease_is_old[i] || lease[i] == c + 1
    }
    phase[c] = IDLE
}

inline confirm(p, age)
{
    grant[p] = (RECORDED + OLDEST - age > grant[p] -> RECORDED + OLDEST - age : grant[p])
}

inline apply(p, kind, age)
{
    if
    :: kind == GRANTED -> grant[p] = RECORDED; confirm(p, age)
#ifdef RESENT_MOVES_BOUND
    :: kind == RESENT -> confirm(p, age)
#else
    :: kind == RESENT && !grant[p] -> grant[p] = RECORDED
#endif
    :: kind == RENEWED && grant[p] -> confirm(p, age)
    :: kind == LOST -> grant[p] = 0; to_ask[p] = true
    :: else
    fi
}

inline receive(c, p)
{
    if
#ifdef TOKEN_NOT_COMPARED
    :: phase[c] == IDLE
#else
    :: phase[c] == IDLE || down_is_old[p]
#endif
#ifndef VALIDITY_REVIVES
    :: phase[c] == HELD && !quorum(c) && !down_is_old[p] -> end(c)
#endif
    :: else ->
#ifdef BOUND_FROM_RECEIPT
        apply(p, down[p], 0);
#else
        apply(p, down[p], echo[p]);
#endif
        if
        :: phase[c] == WAITING && quorum(c) -> phase[c] = HELD; last_holder = c + 1
        :: else
        fi
    fi;
    unanswer(p)
}

/* What a node does */

inline answer(p, kind)
{
    answers++;
    down[p] = kind
}

inline leave(p)
{
    line[p] = false
}

inline drop(n)
{
    lease[n] = 0;
    lease_is_old[n] = false;
    left[n] = 0
}

/* The releases of earlier tokens come before an acquire. */
inline ask(c, n)
{
    to_ask[P(c, n)] = false;
    if
    :: lease[n] == c + 1 && !lease_is_old[n] -> answer(P(c, n), RESENT)
    :: else -> line[P(c, n)] = true
    fi
}

inline renew(c, n)
{
    if
    :: lease[n] == c + 1 && !lease_is_old[n] -> left[n] = TTL; answer(P(c, n), RENEWED)
    :: line[P(c, n)] || silent[n]
    :: else -> answer(P(c, n), LOST)
    fi
}

/* Whoever stands in line may be next: exclusion does not rest on the order. */
inline give(c, n)
{
    if
    :: lease[n] == c + 1 -> lease_is_old[n] = false   /* the release of the earlier token came before */
    :: else
    fi;
    lease[n] = c + 1;
    left[n] = TTL;
    answer(P(c, n), GRANTED);
    leave(P(c, n))
}

/* What happens to them */

inline unanswer(p)
{
    answers = answers - (down[p] != 0);
    down[p] = 0;
    echo[p] = 0;
    down_is_old[p] = false
}

inline disconnect(c, n)
{
    leave(P(c, n));
    unanswer(P(c, n));
    to_ask[P(c, n)] = (phase[c] == WAITING || phase[c] == HELD && !grant[P(c, n)])
}

inline crash(n)
{
    for (i : 0 .. CLIENTS - 1) { disconnect(i, n) }
}

inline older(age) { age = (age < OLDEST -> age + 1 : age) }

inline tick_of_coordinator(c)
{
    for (i : P(c, 0) .. P(c, NODES - 1)) {
        grant[i] = (grant[i] > RECORDED -> grant[i] - 1 : grant[i]);
        if
        :: down[i] -> older(echo[i])
        :: else
        fi
    }
}

inline tick_of_node(n)
{
    silent[n] = (silent[n] -> silent[n] - 1 : 0);
    if
    :: left[n] > 1 -> left[n]--
    :: left[n] == 1 -> drop(n)
    :: else
    fi
}

#define can_answer(p) (answers < ANSWERS && !down[p])

/* One coordinator and one node */
active [PAIRS] proctype Pair()
{
#define p _pid
#define c (p / NODES)
#define n (p % NODES)
    do
    :: d_step { down[p] -> receive(c, p) }
    :: d_step { to_ask[p] && can_answer(p) -> ask(c, n) }
    :: d_step { grant[p] && can_answer(p) -> renew(c, n) }
    :: d_step { line[p] && (!lease[n] || lease[n] == c + 1) && !silent[n] && can_answer(p) -> give(c, n) }
    :: d_step { faults && (line[p] || down[p]) -> disconnect(c, n); faults-- }
#ifdef ECHO_WHEN_LEAVING
    :: d_step { down[p] -> echo[p] = 0 }
#endif
    od
#undef p
#undef c
#undef n
}

active [CLIENTS] proctype Coordinator()
{
#define c (_pid - PAIRS)
    do
    :: d_step { starts && phase[c] == IDLE -> start(c); starts-- }
    :: d_step { phase[c] != IDLE -> end(c) }
    od
#undef c
}

active [NODES] proctype Node()
{
#define n (_pid - PAIRS - CLIENTS)
    do
    :: d_step { lease_is_old[n] -> drop(n) }
#ifdef FORGETS
    :: d_step { faults && lease[n] -> crash(n); drop(n); silent[n] = SILENCE; faults-- }
#else
    :: d_step { faults && lease[n] && left[n] < TTL -> crash(n); left[n] = TTL; faults-- }
#endif
    od
#undef n
}

active proctype Time()
{
    do
    :: d_step {
        for (j : 0 .. NODES - 1) { tick_of_node(j) }
        for (j : 0 .. CLIENTS - 1) {
            if
            :: slow(j) && moment == 0
            :: else -> tick_of_coordinator(j)
            fi
        }
        moment = (moment + 1) % TTL
    }
    od
}

active proctype Invariant()
{
    !(exclusive(0) && exclusive(1)) -> assert(false)
}
