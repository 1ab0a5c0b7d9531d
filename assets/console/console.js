// Keys for what the page's own buttons and links do; without this script nothing is missing but the keys.
(function () {
  "use strict";

  function isTyping(target) {
    return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
  }

  function move(step) {
    var rows = Array.from(document.querySelectorAll("[data-row]"));
    if (rows.length === 0) return;
    var at = rows.indexOf(document.activeElement);
    var next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
    rows[next].focus();
  }

  document.addEventListener("keydown", function (event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat || isTyping(event.target)) return;
    var help = document.getElementById("keys");
    if (event.key === "?" && help) help.togglePopover();
    else if (help && help.matches(":popover-open")) return;
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else {
      var named = /^[a-z]$/.test(event.key) && document.querySelector('[data-key="' + event.key + '"]');
      if (!named) return;
      named.click();
    }
    event.preventDefault();
  });
})();
