#include "core/gather.h"

#include "core/shard.h"

namespace twinwire {

Gauges Shard::gauges() {
  Gauges now;
  Sessions::Counts streams = sessions_.counts();
  now.sse = streams.sse;
  now.ws = streams.ws;
  now.poll = streams.poll;
  now.tails = streams.tails;
  now.connections = transport_.connections();
  now.operator_connections = transport_.operator_connections();
  now.sessions = sessions_.session_count();
  now.joining = sessions_.in_state(SessionState::joining);
  now.replaying = sessions_.in_state(SessionState::replaying);
  now.live = sessions_.in_state(SessionState::live);
  now.lagging = sessions_.in_state(SessionState::lagging);
  now.detached = sessions_.in_state(SessionState::detached);
  now.rooms = homes_.room_count();
  now.users = homes_.user_count();
  now.tail_bytes = homes_.tail_bytes();
  now.unsettled_rooms = homes_.unsettled_count();
  now.blocked = outboxes_.blocked_now();
  now.held_bytes = outboxes_.held_bytes();
  now.mail_waiting = mailbox_.requests_waiting();
  now.mail_held = outgoing_count_;
  now.history_due = history_due_;
  now.history_waiting = history_waiting_.size();
  now.unread_slots = ring().claimed().value - consumed_.value;
  return now;
}

Metrics Shard::metrics_now() const {
  Metrics now = metrics_;
  now.sends = outboxes_.sends;
  now.frames = outboxes_.frames;
  now.bytes = outboxes_.bytes;
  now.short_sends = outboxes_.shorts;
  now.runs_joined = outboxes_.joined_built;
  now.runs_reused = outboxes_.joined_hits;
  return now;
}

namespace {

struct Piece {
  std::shared_ptr<const Metrics> metrics;  // large, and moves through several hands
  Gauges gauges;
  std::shared_ptr<const std::vector<TenantCounts>> tenants;
};

struct Gathering {
  uint32_t due;
  std::function<void(Shard&, const Totals&)> then;
  Totals sum;
};

}  // namespace

void Shard::gather(std::function<void(Shard&, const Totals&)> then) {
  auto gathering = std::make_shared<Gathering>();
  gathering->due = engine_.shard_count();
  gathering->then = std::move(then);
  gathering->sum.shards.resize(engine_.shard_count());
  gathering->sum.tenants.resize(engine_.tenants().places());
  for (uint32_t i = 0; i < engine_.shard_count(); i++) {
    ask<Piece>(
        ShardIndex(i),
        [](Shard& shard, const Answer<Piece>& answer) {
          answer(shard, Piece{std::make_shared<Metrics>(shard.metrics_now()), shard.gauges(),
                              std::make_shared<std::vector<TenantCounts>>(shard.tenant_counts())});
        },
        [gathering, i](Shard& shard, const Piece& piece) {
          Totals& sum = gathering->sum;
          sum.metrics += *piece.metrics;
          sum.gauges += piece.gauges;
          sum.shards[i] = piece.gauges;
          for (size_t t = 0; t < sum.tenants.size(); t++) sum.tenants[t] += (*piece.tenants)[t];
          if (--gathering->due == 0) gathering->then(shard, sum);
        });
  }
}

void kick_streams(Shard& shard, const Name& user, SessionId session, const std::string& reason,
                  bool reconnect, std::function<void(Shard&, uint32_t)> then) {
  struct Kicking {
    uint32_t due, ended = 0;
    std::function<void(Shard&, uint32_t)> then;
  };
  auto kicking = std::make_shared<Kicking>(Kicking{shard.engine().shard_count(), 0, std::move(then)});
  Sessions::Kick kick{user, session, reason, reconnect};
  for (uint32_t i = 0; i < shard.engine().shard_count(); i++) {
    shard.ask<uint32_t>(
        ShardIndex(i),
        [kick](Shard& there, const Answer<uint32_t>& answer) { answer(there, there.sessions().kick(kick)); },
        [kicking](Shard& here, uint32_t ended) {
          kicking->ended += ended;
          if (--kicking->due == 0) kicking->then(here, kicking->ended);
        });
  }
}

}  // namespace twinwire
