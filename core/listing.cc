// Lists for operators: every shard walks what it has in pieces, keeps the best rows of the order, and the
// asking shard merges them into a page.
#include <algorithm>

#include "core/gather.h"
#include "core/shard.h"

namespace twinwire {
namespace {

// Rooms or sessions that one piece of a walk looks at: some tens of microseconds.
constexpr uint32_t kPieceRooms = 512;
constexpr uint32_t kPieceSessions = 1024;

// Whether `a` stands before `b`: by the key in the order asked for, then by name, which always rises.
template <typename Row>
bool before(const Row& a, const Row& b, bool descending) {
  if (a.key != b.key) return descending ? a.key > b.key : a.key < b.key;
  if (int order = a.name.tenant().compare(b.name.tenant())) return order < 0;
  if (int order = a.name.text().compare(b.name.text())) return order < 0;
  return a.id.low < b.id.low;
}

// The first `keep` rows of the order among all that are offered.
template <typename Row>
class Best {
 public:
  explicit Best(const PageRequest& page)
      : keep_(std::min(page.offset + page.limit, kListedMax)), descending_(page.descending) {}
  void offer(Row row) {
    total_++;
    auto order = [this](const Row& a, const Row& b) { return before(a, b, descending_); };
    if (rows_.size() < keep_) {
      rows_.push_back(std::move(row));
      std::push_heap(rows_.begin(), rows_.end(), order);
    } else if (keep_ > 0 && order(row, rows_.front())) {
      std::pop_heap(rows_.begin(), rows_.end(), order);
      rows_.back() = std::move(row);
      std::push_heap(rows_.begin(), rows_.end(), order);
    }
  }
  void clear() {
    rows_.clear();
    total_ = 0;
  }
  ListPage<Row> take() { return {std::move(rows_), total_, false}; }

 private:
  const uint32_t keep_;
  const bool descending_;
  std::vector<Row> rows_;
  uint64_t total_ = 0;
};

RoomRow row_of(Shard& shard, const Room& room) {
  RoomRow row;
  row.name = room.name;
  row.id = room.id;
  row.kind = room.kind;
  row.home = index_of(shard.index());
  row.shards = static_cast<uint32_t>(__builtin_popcountll(room.mask));
  row.members = room.members.size();
  row.present = room.present.size();
  row.published = room.activity.total();
  row.per_second = room.activity.per_second(shard.now());
  row.tail_events = room.tail.events().size();
  row.tail_bytes = room.tail.bytes();
  row.unsettled = room.unsettled.size();
  row.typing = room.typing.size();
  row.created_wall_ms = room.created_wall_ms;
  row.updated_wall_ms = room.updated_wall_ms;
  row.last_kept = room.last_kept;
  row.trimmed_through = room.trimmed_through;
  return row;
}

uint64_t key_of(const RoomRow& row, RoomSort sort) {
  switch (sort) {
    case RoomSort::name:
      return 0;
    case RoomSort::members:
      return row.members;
    case RoomSort::present:
      return row.present;
    case RoomSort::rate:
      return static_cast<uint64_t>(row.per_second * 1000);
    case RoomSort::published:
      return row.published;
    case RoomSort::tail:
      return row.tail_bytes;
  }
  return 0;
}

// Merges the shards' pages; `then` gets the page once the last has come.
template <typename Row>
struct Merging {
  PageRequest page;
  uint32_t due = 0;
  ListPage<Row> all;
  std::function<void(Shard&, ListPage<Row>)> then;

  void add(Shard& shard, ListPage<Row> part) {
    all.total += part.total;
    all.refused |= part.refused;
    std::move(part.rows.begin(), part.rows.end(), std::back_inserter(all.rows));
    if (--due > 0) return;
    std::sort(all.rows.begin(), all.rows.end(),
              [this](const Row& a, const Row& b) { return before(a, b, page.descending); });
    size_t from = std::min<size_t>(page.offset, all.rows.size());
    size_t to = std::min<size_t>(from + page.limit, all.rows.size());
    all.rows.erase(all.rows.begin() + static_cast<ptrdiff_t>(to), all.rows.end());
    all.rows.erase(all.rows.begin(), all.rows.begin() + static_cast<ptrdiff_t>(from));
    then(shard, std::move(all));
  }
};

template <typename Row, typename Start>
void ask_all(Shard& shard, const PageRequest& page, std::function<void(Shard&, ListPage<Row>)> then,
             Start start) {
  auto merging = std::make_shared<Merging<Row>>();
  merging->page = page;
  merging->due = shard.engine().shard_count();
  merging->then = std::move(then);
  for (uint32_t i = 0; i < shard.engine().shard_count(); i++)
    shard.ask<ListPage<Row>>(ShardIndex(i), start, [merging](Shard& here, ListPage<Row> part) {
      merging->add(here, std::move(part));
    });
}

// Readers are counted where they are: asked of every shard for the rows of a page only.
void count_readers(Shard& shard, ListPage<RoomRow> page,
                   std::function<void(Shard&, ListPage<RoomRow>)> then) {
  struct Counting {
    ListPage<RoomRow> page;
    uint32_t due;
    std::function<void(Shard&, ListPage<RoomRow>)> then;
  };
  auto ids = std::make_shared<std::vector<RoomId>>();
  for (const RoomRow& row : page.rows) ids->push_back(row.id);
  auto counting =
      std::make_shared<Counting>(Counting{std::move(page), shard.engine().shard_count(), std::move(then)});
  for (uint32_t i = 0; i < shard.engine().shard_count(); i++) {
    shard.ask<std::vector<uint32_t>>(
        ShardIndex(i),
        [ids](Shard& there, const Answer<std::vector<uint32_t>>& answer) {
          std::vector<uint32_t> readers;
          for (RoomId id : *ids) readers.push_back(there.sessions().readers_of(id));
          answer(there, std::move(readers));
        },
        [counting](Shard& here, const std::vector<uint32_t>& readers) {
          for (size_t row = 0; row < readers.size(); row++) counting->page.rows[row].readers += readers[row];
          if (--counting->due == 0) counting->then(here, std::move(counting->page));
        });
  }
}

SessionRow row_of(Shard& shard, const Session& session, SessionSort sort) {
  SessionRow row;
  row.name = session.user;
  row.id = session.id;
  row.state = word_of(session.state);
  if (session.connection != kNone) {
    const Stream& stream = shard.outboxes().at(ConnectionId{session.connection});
    row.transport = stream.form;
    row.blocked = stream.blocked;
  }
  row.observer = session.observer;
  row.rooms = shard.sessions().rooms_followed(session);
  row.shard = index_of(shard.index());
  row.age_seconds = (shard.now() / 100 - session.opened_ds) / 10;
  bool live = session.state == SessionState::live;
  row.cursor = live ? shard.consumed() : session.cursor;
  row.lag = shard.consumed().value - std::min(shard.consumed(), row.cursor).value;
  switch (sort) {
    case SessionSort::user:
      break;
    case SessionSort::age:
      row.key = row.age_seconds;
      break;
    case SessionSort::rooms:
      row.key = row.rooms;
      break;
    case SessionSort::lag:
      row.key = row.lag;
  }
  return row;
}

bool matches(Shard& shard, const Session& session, const SessionQuery& query) {
  if (!query.tenant.empty() && session.user.tenant() != query.tenant) return false;
  if (!query.user.empty() && session.user.text() != query.user) return false;
  if (!query.state.empty() && word_of(session.state) != query.state) return false;
  if (query.transport) {
    Form form =
        session.connection == kNone ? Form::none : shard.outboxes().at(ConnectionId{session.connection}).form;
    if (form != *query.transport) return false;
  }
  return !query.room || shard.sessions().follows(session, *query.room);
}

}  // namespace

void list_rooms(Shard& shard, const RoomQuery& query, std::function<void(Shard&, ListPage<RoomRow>)> then) {
  struct Walk {
    RoomQuery query;
    Best<RoomRow> best;
    Homes::Walk at;
    Answer<ListPage<RoomRow>> answer;
    explicit Walk(const RoomQuery& q) : query(q), best(q.page) {}
  };
  auto start = [query](Shard& there, Answer<ListPage<RoomRow>> answer) {
    auto walk = std::make_shared<Walk>(query);
    walk->answer = std::move(answer);
    bool taken = there.add_chore([walk](Shard& here) {
      auto visit = [&](const Room& room) {
        if (room.kind == RoomKind::inbox) return;
        if (!walk->query.tenant.empty() && room.name.tenant() != walk->query.tenant) return;
        if (room.name.text().find(walk->query.contains) == std::string_view::npos) return;
        RoomRow row = row_of(here, room);
        row.key = key_of(row, walk->query.sort);
        walk->best.offer(std::move(row));
      };
      switch (here.homes().walk_rooms(walk->at, kPieceRooms, visit)) {
        case Walked::on:
          return false;
        case Walked::anew:
          walk->best.clear();
          return false;
        case Walked::done:
          break;
      }
      walk->answer(here, walk->best.take());
      return true;
    });
    if (!taken) walk->answer(there, {{}, 0, true});
  };
  ask_all<RoomRow>(
      shard, query.page,
      [then = std::move(then)](Shard& here, ListPage<RoomRow> page) mutable {
        count_readers(here, std::move(page), std::move(then));
      },
      start);
}

void list_sessions(Shard& shard, const SessionQuery& query,
                   std::function<void(Shard&, ListPage<SessionRow>)> then) {
  struct Walk {
    SessionQuery query;
    Best<SessionRow> best;
    IndexWalk at;
    Answer<ListPage<SessionRow>> answer;
    explicit Walk(const SessionQuery& q) : query(q), best(q.page) {}
  };
  auto start = [query](Shard& there, Answer<ListPage<SessionRow>> answer) {
    auto walk = std::make_shared<Walk>(query);
    walk->answer = std::move(answer);
    bool taken = there.add_chore([walk](Shard& here) {
      Walked walked = here.sessions().walk_sessions(walk->at, kPieceSessions, [&](const Session& session) {
        if (matches(here, session, walk->query)) walk->best.offer(row_of(here, session, walk->query.sort));
      });
      if (walked == Walked::anew) walk->best.clear();
      if (walked == Walked::done) walk->answer(here, walk->best.take());
      return walked == Walked::done;
    });
    if (!taken) walk->answer(there, {{}, 0, true});
  };
  ask_all<SessionRow>(shard, query.page, std::move(then), start);
}

void find_room(Shard& shard, const Name& name, std::function<void(Shard&, std::optional<RoomDetail>)> then) {
  RoomId id = shard.room_id(name);
  shard.ask<std::optional<RoomDetail>>(
      shard.home_of(id),
      [id, name](Shard& home, const Answer<std::optional<RoomDetail>>& answer) {
        if (!home.homes().room_at(id) && !home.history().may_know_room(id)) return answer(home, std::nullopt);
        home.homes().with_room(id, name, [&home, answer](Room& room) {
          RoomDetail detail;
          detail.row = row_of(home, room);
          detail.title = room.title;
          detail.created_by = room.created_by;
          for (const auto& member : room.members) {
            if (detail.members.size() == kDetailNames) break;
            detail.members.emplace_back(member);
          }
          detail.present_json = home.homes().presence_list(room, kDetailNames);
          answer(home, std::move(detail));
        });
      },
      [then = std::move(then)](Shard& here, std::optional<RoomDetail> found) {
        if (!found) return then(here, std::nullopt);
        auto detail = std::make_shared<RoomDetail>(std::move(*found));
        ListPage<RoomRow> page;
        page.rows.push_back(detail->row);
        count_readers(here, std::move(page), [then, detail](Shard& asker, const ListPage<RoomRow>& counted) {
          detail->row = counted.rows.front();
          then(asker, std::move(*detail));
        });
      });
}

}  // namespace twinwire
