// Shard: what operators do to users. What they see is in gather.cc.
#include "core/json.h"
#include "core/shard.h"

namespace twinwire {

void Shard::end_user(const Name& user, Homes::Ending why, ConnectionId connection, std::string tag) {
  if (why == Homes::Ending::revoked) engine_.revocations().add({user, wall_ms()});
  ask<Sequence>(
      home_of(inbox_id(user)),
      [user, why](Shard& home, Answer<Sequence> answer) {
        home.homes().end_user(user, why, std::move(answer));
      },
      [connection, generation = outboxes_.at(connection).generation, tag = std::move(tag)](Shard& shard,
                                                                                           Sequence place) {
        Reply reply;
        JsonObject object(reply.body);
        object.field("success", true);
        if (place.value)
          object.field("eventId", shard.cursor(place).text());
        else
          object.raw("eventId", "null");
        object.end();
        if (shard.outboxes_.is_open(connection, generation)) shard.transport_.reply(connection, tag, reply);
      });
}

}  // namespace twinwire
