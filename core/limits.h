// Limits: the bounds that are not settings, each with its reason, and the byte budget of an idle connection.
// Settings have theirs in config.h. Constants only.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/types.h"

namespace twinwire {

// The user-space memory of one idle connection with its own session and its own user (id of 12 bytes),
// following one room, memberships and indexes included. Measured in tests/core/budget_test.cc.
inline constexpr uint32_t kIdleConnectionBytes = 320;
inline constexpr uint32_t kNetConnectionBytes = 40;

// A room's tail: enough that a client that reconnects within seconds is served from memory.
inline constexpr uint32_t kTailEvents = 256;
inline constexpr uint64_t kTailBytes = 256 << 10;
inline constexpr uint64_t kTailBytesPerShard = 128ull << 20;
// Settled idempotency keys per room that stay in memory; older ones are asked of the store.
inline constexpr uint32_t kDedupePerRoom = 512;
// Commands of one sender waiting for the store's word on an earlier id.
inline constexpr uint32_t kHeldPerSender = 64;
// A catch-up read: what one session may have in memory at a time.
inline constexpr uint32_t kReadEvents = 128;
inline constexpr uint32_t kReadBytes = 128 << 10;
// Live events that wait behind the last read of a catch-up.
inline constexpr uint32_t kHeldEvents = 256;
// Names in one presence.diff; beyond, the count alone is right.
inline constexpr uint32_t kPresenceNames = 64;
inline constexpr uint32_t kPresenceListMax = 1000;
inline constexpr uint32_t kTypistsMax = 64;
inline constexpr uint32_t kPresenceStateBytes = 1024;
// Users of one room whose receipts are known; beyond, the room takes those of no further user.
inline constexpr uint32_t kReceiptsPerRoom = 65536;
// Users in one receipt.diff and in an answer's `receipts`; what does not fit is told the next time.
inline constexpr uint32_t kReceiptsTold = 64;
inline constexpr uint32_t kReceiptsListed = 200;
// Members that a Room's `participants` name.
inline constexpr uint32_t kParticipantsListed = 256;
// Users of one room whose camera, microphone or screen is on.
inline constexpr uint32_t kMediaMax = 256;
// Pushes of one tick: some 20 ms at the very most, so that a busy large room still goes out joined.
inline constexpr uint32_t kPushesPerTick = 1 << 18;
// Sessions that one tick takes a step further: some ten milliseconds when all come back at once.
inline constexpr uint32_t kStepsPerTick = 4096;
// Mail that waits for a full mailbox or a credit; beyond, new commands are refused as overloaded.
inline constexpr uint32_t kOutgoing = 4096;
// Uses of a room that wait for the store to load it; beyond, commands are refused as storage_unavailable.
inline constexpr uint32_t kWaitingPerRoom = 4096;
// Rooms that one tick looks through for those to be forgotten.
inline constexpr uint32_t kSweepRooms = 1024;
inline constexpr Millis kStoreRetryMs = 200;
inline constexpr Millis kTimerStepMs = 50;
inline constexpr Millis kSweepMs = 2000;
inline constexpr Millis kRoomIdleMs = 10000;
// Pages of 16 events that rooms.load looks through for a room's last message.
inline constexpr uint32_t kLastMessagePagesMax = 16;
inline constexpr uint32_t kLoadPagesMax = 64;  // pages of history that one messages.load may look through

// Sessions of one shard that are kept without a stream, some 200 bytes each; beyond, the oldest are forgotten
// before session.keep_seconds, and their clients get a new id and the same resume.
inline constexpr uint32_t kDetachedMax = 1 << 20;

// Those of the bounds above that a test makes small, so that meeting them is no matter of luck.
struct Bounds {
  uint32_t tail_events = kTailEvents;
  uint64_t tail_bytes_per_shard = kTailBytesPerShard;
  uint32_t dedupe_per_room = kDedupePerRoom;
  uint32_t held_per_sender = kHeldPerSender;
  uint32_t read_events = kReadEvents;
  uint32_t held_events = kHeldEvents;
  uint32_t pushes_per_tick = kPushesPerTick;
  uint32_t steps_per_tick = kStepsPerTick;
  uint32_t outgoing = kOutgoing;
  uint32_t waiting_per_room = kWaitingPerRoom;
  uint32_t detached = kDetachedMax;
};

// Names that only rooms.create gives: nobody can join such a room before it exists.
inline bool is_reserved_room(std::string_view name) {
  return name.starts_with("direct-") || name.starts_with("group-");
}

}  // namespace twinwire
