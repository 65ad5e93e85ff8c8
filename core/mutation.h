// Mutation: one deliberate fault, switched on by a test of the simulator to prove that it would be seen.
// Always `none` in the server. Plain data; set before the engine starts.
#pragma once

#include <cstdint>

namespace twinwire {

enum class Mutation : uint8_t {
  none,
  cut_off_by_one,               // a join's cut lies one too low
  join_acted_on_by_mail,        // the joiner does not wait until it has consumed the cut
  tail_drops_above_durable,     // the tail forgets events that are not yet stored
  sequence_reused,              // a restart begins at the settled position, not at the lease's end
  ack_before_sync,              // `stored` is said when the writer has only read the event
  lagging_skips_one,            // on the way back to live one position is skipped
  prepaid_short_by_one,         // one reference too few is prepaid
  joined_by_ends,               // joined runs are compared by their ends only
  inbox_room_without_catch_up,  // a room gained by the inbox goes live at once
  old_leave_after_join,         // a waiting leave is not dropped by a new join
  take_over_writes_early,       // the new host does not wait for the old stream's end
  reset_when_possible,          // a lagging session is reset instead of replayed
  history_before_membership,    // who is invited to a closed room reads what came before
  revoked_comes_back,           // a stream that opens is not asked whether its token was revoked
};

}  // namespace twinwire
