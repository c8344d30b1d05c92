/* SPDX-License-Identifier: MIT */
#ifndef LIB_ENGINE_HAND_H
#define LIB_ENGINE_HAND_H

struct uffd_engine;

/*
 * A call that raises an event returns when its message is read, and that may be
 * before `event` has been called for it. With `sigbus`: wait until it has, for
 * every call that has returned by now. With `thread` the faults of whoever
 * called come after the event anyway. Not by the handler itself.
 */
void engine_wait_for_events(const struct uffd_engine *e);

#endif
