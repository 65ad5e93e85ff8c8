// Schema: the protocol's documentation, generated: JSON Schema (2020-12) of every command, event and error
// for GET /api/schema, and the tables of net/PROTOCOL.md. Commands come from the command table; the events
// and the objects that several of them hold are listed here, once. Constant; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/command.h"
#include "core/config.h"

namespace twinwire {

// How DocMember::type is read: text, eventId, time, integer, boolean, any, or the name of an object of
// object_table(); `[…]` an array of it; a `?` at the end: may be null or absent.
struct ObjectSpec {
  std::string_view name;
  std::string_view doc;
  std::span<const DocMember> members;
};
std::span<const ObjectSpec> object_table();

struct EventSpec {
  std::string_view type;
  std::string_view doc;
  std::string_view kept;  // "yes", "no", "last of each user"
  std::span<const DocMember> data;
};
std::span<const EventSpec> event_table();

// The whole document. Bounds that are settings are those of `config`.
std::string schema_json(const Config& config);

// The generated parts of net/PROTOCOL.md, without their marks.
std::string markdown_commands();
std::string markdown_events();
// `page` with what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` made anew, for every NAME
// known here. A page without the marks comes back as it was.
std::string with_generated_parts(std::string page);

}  // namespace twinwire
