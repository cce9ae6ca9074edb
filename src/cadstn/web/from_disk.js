/* Browsers load no modules from the file system, so this file is none. */
if (location.protocol === "file:") {
  document.getElementById("status").textContent = "This page needs a web server: 'make web' starts one.";
}
