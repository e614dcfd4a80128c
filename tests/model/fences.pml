/* Fences rise in the order of holding: an exclusive one exceeds all before it, a shared one every exclusive before it.
 *
 * Three nodes, ACQUISITIONS acquisitions of either mode, each with an old or a young ticket, in any order. A lease ends
 * by release or runs out; connections break, nodes restart with their journal or forget an idle name, one node may die.
 * There is no clock: a lease runs out early only where its owner does not rely on it any more, which quorum_lease shows.
 * Whoever stands in line may be next, if only the leases admit it: fences do not rest on the order.
 */
#define NODES 3
#define MAJORITY (NODES / 2 + 1)
#ifndef ACQUISITIONS
#define ACQUISITIONS 3
#endif
#ifndef YOUNG
#define YOUNG 2                   /* the ticket of the young; that of the old is 1 */
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#define PAIRS (ACQUISITIONS * NODES)
#define P(a, n) ((a) * NODES + (n))

/* THE INVARIANTS */
#define rises(a, fence) (fence > (shared[a] -> top_exclusive : top))
#define excludes(a) (!held_exclusive && (shared[a] || !held_shared))

/* Acquisitions */
#define IDLE 0
#define WAITING 1
#define HELD 2
#define DONE 3
byte phase[ACQUISITIONS];
bool shared[ACQUISITIONS];
byte ticket[ACQUISITIONS];
byte grant[PAIRS];                /* the fence of a grant that counts; 0: none */
byte raised_to[PAIRS];            /* the fence it was asked to be raised to */

/* Holders so far, and now: read by the invariants only */
byte top;
byte top_exclusive;
byte held_shared;
byte held_exclusive;

/* Nodes */
byte lease[PAIRS];                /* its fence; 0: none */
byte last[NODES];                 /* the largest fence granted or raised here */
byte last_exclusive[NODES];
byte dead;                        /* 0: none; node + 1 */

/* Messages under way: one acquire (or a place in line), one raise, one answer */
bool line[PAIRS];
byte raise[PAIRS];
byte told[PAIRS];                 /* the fence of a lease that was granted, or raised */
byte faults = FAULTS;

hidden byte i, fence, grants, standing;

/* What a node does */

inline note_fence(a, n)
{
    last[n] = (lease[P(a, n)] > last[n] -> lease[P(a, n)] : last[n]);
    last_exclusive[n] = (!shared[a] && lease[P(a, n)] > last_exclusive[n] -> lease[P(a, n)] : last_exclusive[n])
}

/* Sets `grants` if the leases of the node admit this one: no other, or shared ones beside a shared one. */
inline look_for_room(a, n)
{
    grants = true;
    for (i : 0 .. ACQUISITIONS - 1) { grants = grants && (!lease[P(i, n)] || shared[i] && shared[a]) }
    skip
}

inline give(a, n)
{
#ifdef FENCE_IS_TICKET
    fence = 0;
#else
    fence = (shared[a] -> last_exclusive[n] : last[n]) + 1;
#endif
    lease[P(a, n)] = (ticket[a] > fence -> ticket[a] : fence);
    note_fence(a, n);
    told[P(a, n)] = lease[P(a, n)];
    line[P(a, n)] = false
}

inline on_raise(a, n)
{
    if
    :: lease[P(a, n)] ->
        lease[P(a, n)] = (raise[P(a, n)] > lease[P(a, n)] -> raise[P(a, n)] : lease[P(a, n)]);
#ifdef MARKS_NOT_RAISED
        skip;
#elif defined(EXCLUSIVE_MARK_NOT_RAISED)
        last[n] = (lease[P(a, n)] > last[n] -> lease[P(a, n)] : last[n]);
#else
        note_fence(a, n);
#endif
        told[P(a, n)] = lease[P(a, n)]
    :: else
    fi;
    raise[P(a, n)] = 0
}

/* The marks of an idle name fold into the node's floor, as those of a journal do on a restart. */
inline fold(n)
{
#ifdef FLOOR_FORGOTTEN
    last[n] = 0;
#endif
    last_exclusive[n] = last[n]
}

/* What an acquisition does */

inline start(a, mode, number)
{
    for (i : P(a, 0) .. P(a, NODES - 1)) { line[i] = true }
    shared[a] = mode;
    ticket[a] = number;
    phase[a] = WAITING
}

inline hold(a)
{
    assert(rises(a, fence));
    assert(excludes(a));
    phase[a] = HELD;
    top = (fence > top -> fence : top);
    top_exclusive = (!shared[a] && fence > top_exclusive -> fence : top_exclusive);
    held_shared = held_shared + shared[a];
    held_exclusive = held_exclusive + !shared[a]
}

inline count(a)
{
    fence = 0;
    grants = 0;
    standing = 0;
    for (i : P(a, 0) .. P(a, NODES - 1)) {
        grants = grants + (grant[i] != 0);
        fence = (grant[i] > fence -> grant[i] : fence)
    }
    for (i : P(a, 0) .. P(a, NODES - 1)) {
#ifdef NO_RAISE
        standing = grants
#elif defined(RAISE_NOT_AWAITED)
        standing = standing + (grant[i] == fence || grant[i] && raised_to[i] == fence)
#else
        standing = standing + (grant[i] == fence)
#endif
    }
    skip
}

inline ask_raise(a)
{
    for (i : P(a, 0) .. P(a, NODES - 1)) {
        if
        :: grant[i] && grant[i] < fence && raised_to[i] < fence -> raised_to[i] = fence; raise[i] = fence
        :: else
        fi
    }
    skip
}

inline decide(a)
{
    count(a);
    if
    :: grants >= MAJORITY && standing >= MAJORITY -> hold(a)
    :: grants >= MAJORITY && standing < MAJORITY ->
        ask_raise(a);
#ifdef RAISE_NOT_AWAITED
        hold(a)
#endif
    :: else
    fi
}

inline hear(a, n)
{
    grant[P(a, n)] = (told[P(a, n)] > grant[P(a, n)] -> told[P(a, n)] : grant[P(a, n)]);
    told[P(a, n)] = 0;
    if
    :: phase[a] == WAITING -> decide(a)
    :: else
    fi
}

inline finish(a)
{
    for (i : P(a, 0) .. P(a, NODES - 1)) {
        grant[i] = 0;
        raised_to[i] = 0;
        raise[i] = 0;
        told[i] = 0;
        line[i] = false
    }
    if
    :: phase[a] == HELD -> held_shared = held_shared - shared[a]; held_exclusive = held_exclusive - !shared[a]
    :: else
    fi;
    phase[a] = DONE
}

/* What happens to them */

inline run_out(p)
{
    lease[p] = 0;
    grant[p] = 0;
    raised_to[p] = 0;
    told[p] = 0;
    line[p] = true
}

/* The acquire that is sent again finds the lease, or a place in line. */
inline disconnect(p)
{
    raised_to[p] = 0;
    raise[p] = 0;
    told[p] = lease[p]
}

inline restart(n)
{
    for (i : 0 .. ACQUISITIONS - 1) {
        if
        :: phase[i] == WAITING -> disconnect(P(i, n))
        :: else
        fi
    }
    fold(n)
}

inline die(n)
{
    for (i : 0 .. ACQUISITIONS - 1) {
        told[P(i, n)] = 0;
        raise[P(i, n)] = 0;
        line[P(i, n)] = false;
        grant[P(i, n)] = (phase[i] == HELD -> grant[P(i, n)] : 0);
        lease[P(i, n)] = 0
    }
    dead = n + 1
}

#define p _pid
#define a (_pid / NODES)
#define n (_pid % NODES)

active [PAIRS] proctype Pair()
{
end:
    do
    :: d_step { line[p] && !told[p] && dead != n + 1 -> look_for_room(a, n); if :: grants -> give(a, n) :: else fi }
    :: d_step { raise[p] && !told[p] && dead != n + 1 -> on_raise(a, n) }
    :: d_step { told[p] -> hear(a, n) }
    :: d_step { lease[p] && phase[a] == DONE -> lease[p] = 0 }
    :: d_step { faults && phase[a] == WAITING && lease[p] -> faults--; run_out(p) }
    :: d_step { faults && phase[a] == WAITING && (raise[p] || told[p]) -> faults--; disconnect(p) }
    od
}

#undef p
#undef a
#undef n
#define a (_pid - PAIRS)

active [ACQUISITIONS] proctype Acquisition()
{
    if
    :: d_step { a == 0 || phase[a - 1] -> start(a, false, 1) }
    :: d_step { a == 0 || phase[a - 1] -> start(a, false, YOUNG) }
    :: d_step { a == 0 || phase[a - 1] -> start(a, true, 1) }
    :: d_step { a == 0 || phase[a - 1] -> start(a, true, YOUNG) }
    fi;
end:
    d_step { phase[a] == HELD -> finish(a) }
}

#undef a
#define n (_pid - PAIRS - ACQUISITIONS)
#define idle(n) (!(lease[n] || line[n]) && !(lease[NODES + n] || line[NODES + n]) && !(lease[PAIRS - NODES + n] || line[PAIRS - NODES + n]))

active [NODES] proctype Node()
{
end:
    do
    :: d_step { faults && last_exclusive[n] < last[n] -> faults--; restart(n) }
    :: d_step { faults && !dead -> faults--; die(n) }
    :: d_step { last[n] && idle(n) -> fold(n) }
    od
}
