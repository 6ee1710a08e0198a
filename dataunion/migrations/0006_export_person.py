from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("dataunion", "0005_runs_joined_and_policies"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="dataunion",
            options={
                "permissions": [("export_person", "Can export all that is stored about one person")],
                "verbose_name": "record",
            },
        ),
    ]
