"""Model folders for tests, made of the demo model's files."""

import os
import shutil


def demo_with_template(demo, folder, template):
    """The demo model with another chat template, in `folder`, which exists."""
    demo = os.path.abspath(demo)
    for name in os.listdir(demo):
        if os.path.isfile(os.path.join(demo, name)) and name != "chat_template.jinja":
            os.symlink(os.path.join(demo, name), os.path.join(folder, name))
    with open(os.path.join(folder, "chat_template.jinja"), "w") as file:
        file.write(template)
    return str(folder)


def without(demo, folder, *names):
    """A copy of the demo model's folder that lacks these files."""
    demo = os.path.abspath(demo)
    for name in os.listdir(demo):
        if os.path.isfile(os.path.join(demo, name)) and name not in names:
            shutil.copy(os.path.join(demo, name), folder)
    return str(folder)
