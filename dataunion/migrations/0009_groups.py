from django.db import migrations


def make_groups(apps, schema_editor):
    """What each may do is given after every migration, when all permissions are there: dataunion.access."""
    groups = apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias)
    for name in ("viewer", "operator", "admin"):
        groups.get_or_create(name=name)


class Migration(migrations.Migration):

    dependencies = [
        ('dataunion', '0008_backfill'),
        ('auth', '__first__'),
    ]

    operations = [
        # Nothing is undone: people may be in them.
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
