#include "core/engine.h"

#include "core/shard.h"

namespace twinwire {

Engine::Engine(const Parts& parts, std::vector<Transport*> transports, std::vector<Random*> randoms)
    : parts_(parts),
      user_rates_(parts.config.limits.commands_per_second, parts.config.limits.commands_burst),
      tenant_rates_(parts.config.limits.tenant_commands_per_second,
                    parts.config.limits.tenant_commands_burst),
      tenants_(parts.config.metrics.tenants_max),
      started_ms_(parts.clock.now_ms()) {
  TW_CHECK(!transports.empty() && transports.size() == randoms.size() && transports.size() <= kShardsMax);
  TW_CHECK(transports.size() == parts.ring.shards());
  if (parts.config.auth.mode == AuthMode::none) default_rights_ = Rights::all();
  for (const std::string& word : parts.config.auth.default_rights) (void)default_rights_.add_word(word);
  for (size_t i = 0; i < transports.size(); i++)
    shards_.push_back(std::make_unique<Shard>(*this, ShardIndex(i), *transports[i], *randoms[i]));
  for (auto& shard : shards_) shard->outgoing_.resize(shards_.size());
}

Engine::~Engine() = default;

void Engine::reply_to(ShardIndex to, MailRef mail) {
  shards_[index_of(to)]->mailbox_.post_reply(std::move(mail));
  parts_.ring.wake_if_sleeping(index_of(to));
}

void Engine::room_trimmed(RoomId room, Sequence trimmed_through) {
  Shard& home = *shards_[room.high % shards_.size()];
  // Not lost when the mailbox is full: the next read of the room brings it.
  MailRef mail =
      make_mail([room, trimmed_through](Shard& shard) { shard.homes().trimmed(room, trimmed_through); });
  if (home.mailbox_.try_post(mail)) parts_.ring.wake_if_sleeping(index_of(home.index()));
}

}  // namespace twinwire
