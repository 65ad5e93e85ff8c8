// Page: a file that the server answers as it is, embedded at build time from tools/client/pages.
// Not a file server: the set is fixed when the program is linked. Immutable, any thread.
#pragma once

#include <span>
#include <string_view>

namespace twinwire {

struct Page {
  std::string_view path;          // "/" for index.html, "/<name>" otherwise
  std::string_view content_type;  // with charset for text
  std::string_view body;          // the file's bytes, untouched
};

// Every embedded page. Defined in the program that embeds them (tools/twinwire/pages.cmake).
std::span<const Page> embedded_pages();

}  // namespace twinwire
